/** The `Date` of an answer has whole seconds: it was true at some moment of the second after it. */
const DATE_PRECISION_MS = 1_000
/** Less than this is not told from the time that answers take. */
const TOLERANCE_MS = 500

/**
 * AWS's clock, which decides when a session ends, as far as its answers tell it. In milliseconds since 1970, as
 * `Date.now()`.
 */
export interface AwsClock {
  now(): number
  /** False: AWS has not answered anything yet. */
  isKnown(): boolean
  /** How far AWS's clock is ahead of ours, in milliseconds; 0 if the difference cannot be told from none. */
  offsetMs(): number
  /** Learns from the `Date` header of an answer. `sentMs`: by {@link AwsClock.local}, when its request was sent. */
  learn(date: string | undefined, sentMs: number): void
  /** Our own clock. */
  local(): number
}

export function openAwsClock(local: () => number): AwsClock {
  let offsetMs = 0
  let isKnown = false
  return {
    now: () => local() + offsetMs,
    isKnown: () => isKnown,
    offsetMs: () => offsetMs,
    local,
    learn(date, sentMs) {
      const dateMs = Date.parse(date ?? '')
      const receivedMs = local()
      // A machine that slept in between says nothing about the difference.
      if (Number.isNaN(dateMs) || receivedMs < sentMs) return
      const estimate = dateMs + DATE_PRECISION_MS / 2 - (sentMs + receivedMs) / 2
      const uncertainty = (DATE_PRECISION_MS + receivedMs - sentMs) / 2 + TOLERANCE_MS
      isKnown = true
      offsetMs = Math.abs(estimate) <= uncertainty ? 0 : Math.round(estimate)
    },
  }
}

export function wholeSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}

/** The form of times in policies, in whole seconds: `2026-01-31T12:00:00Z`. */
export function policyTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
