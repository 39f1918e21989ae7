import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits, or returns early when `signal` aborts. Never throws: a loop checks `signal.aborted` itself.
 */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
}

/** Waits until `work` has settled, but no longer than this. Never throws: whoever started the work looks at it. */
export async function settledWithin(work: Promise<unknown>, milliseconds: number): Promise<void> {
  const enough = new AbortController()
  const settled = work.then(
    () => enough.abort(),
    () => enough.abort(),
  )
  await Promise.race([settled, sleep(Math.max(0, milliseconds), enough.signal)])
}

/**
 * Exponential backoff with full jitter: a random time between half of and the whole of `firstMs * 2^(attempt-1)`,
 * at most `capMs`. The spread keeps many failed grants from returning to a recovering backend at once.
 */
export function backoffMs(attempt: number, firstMs: number, capMs: number): number {
  const ceiling = Math.min(capMs, firstMs * 2 ** Math.min(attempt - 1, 30))
  return Math.round(ceiling * (0.5 + Math.random() / 2))
}

/** `90s`, `15m`, `8h`, `7d` as seconds; undefined for anything else. */
export function parseDurationSeconds(text: string): number | undefined {
  const match = /^(\d{1,8})(s|m|h|d)$/.exec(text)
  if (match === null) return undefined
  const factor = { s: 1, m: 60, h: 3600, d: 86400 }[match[2] as 's' | 'm' | 'h' | 'd']
  return Number(match[1]) * factor
}
