import type { Call } from '../../broker/adapter.ts'

/** The limits of one call, with the time that is left of it. */
export interface Bounds {
  readonly signal: AbortSignal
  remainingMs(): number
}

export function boundsOf(call: Call, keepBackMs = 0): Bounds {
  const endsAt = performance.now() + call.timeoutMs - keepBackMs
  return { signal: call.signal, remainingMs: () => endsAt - performance.now() }
}

/** No longer than `milliseconds` from now. */
export function within(bounds: Bounds, milliseconds: number): Bounds {
  const endsAt = performance.now() + milliseconds
  return {
    signal: bounds.signal,
    remainingMs: () => Math.min(bounds.remainingMs(), endsAt - performance.now()),
  }
}

export function isOver(bounds: Bounds): boolean {
  return bounds.signal.aborted || bounds.remainingMs() <= 0
}

const ABORTED = Symbol('aborted')

/** What `running` comes to, or undefined as soon as `signal` aborts. */
export async function unlessAborted<T>(
  signal: AbortSignal,
  running: Promise<T>,
): Promise<{ readonly result: T } | undefined> {
  let onAbort = (): void => undefined
  const aborted = new Promise<typeof ABORTED>((resolve) => {
    onAbort = () => resolve(ABORTED)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
  try {
    const first = await Promise.race([running, aborted])
    return first === ABORTED ? undefined : { result: first }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
