import type { Call } from '../../broker/adapter.ts'

/** An answer that comes too late is none. */
const KEEP_BACK_MS = 1_000

/** The limits of a piece of work, of which there may be several in a call. */
export interface Bounds {
  /** Aborts when time is over, or nobody waits any more. */
  readonly signal: AbortSignal
  remainingMs(): number
}

/** The bounds of a call, without what it takes to tell what became of it. */
export function boundsOf(call: Call): Bounds {
  return bounds(call.signal, call.timeoutMs - Math.min(KEEP_BACK_MS, call.timeoutMs / 5))
}

/** No longer than `milliseconds` from now. */
export function within(outer: Bounds, milliseconds: number): Bounds {
  return bounds(outer.signal, Math.min(milliseconds, outer.remainingMs()))
}

function bounds(signal: AbortSignal, milliseconds: number): Bounds {
  const left = Math.max(0, Math.floor(milliseconds))
  const endsAt = performance.now() + left
  return {
    signal: AbortSignal.any([signal, AbortSignal.timeout(left)]),
    remainingMs: () => endsAt - performance.now(),
  }
}
