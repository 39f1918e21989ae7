import type { Ledger, SerialStatus } from '../../broker/adapter.ts'

type Statuses = ReadonlyMap<string, SerialStatus>

/** The most serials that one question to the ledger names. */
const MAX_BATCH = 1_000

/** Asks the ledger about serials of one authority. */
export type StatusLookup = (serials: readonly string[]) => Promise<Statuses>

/**
 * However many ask at once, one question is at the ledger at a time, and it carries all that came while the last one
 * was away: asking what anybody may ask cannot take the store's connections from those who end access.
 */
export function createStatusLookup(ledger: Ledger, authority: string): StatusLookup {
  let waiting: { readonly serials: Set<string>; readonly answer: Promise<Statuses> } | undefined
  let underWay: Promise<unknown> = Promise.resolve()

  return (serials) => {
    if (waiting === undefined || waiting.serials.size >= MAX_BATCH) {
      const asked = new Set<string>()
      const answer = underWay.then(() => {
        if (waiting?.serials === asked) waiting = undefined
        return ledger.statusOf(authority, [...asked])
      })
      waiting = { serials: asked, answer }
      underWay = answer.catch(() => undefined)
    }
    for (const serial of serials) waiting.serials.add(serial)
    return waiting.answer
  }
}
