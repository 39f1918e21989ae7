import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger, RevocationList } from '../../broker/adapter.ts'
import type { Ca } from './ca.ts'
import { signCrl, type EncodedEntries } from './crl.ts'
import type { Signer } from './signature.ts'

/** How old what we know of the ledger may be. With the time of a request, a list is current within a second. */
const LOOK_AGAIN_MS = 400
/** Anybody may ask: signing long lists takes at most a quarter of this thread's time. */
const PAUSE_FACTOR = 3

/** The current list of one authority, signed when something was withdrawn, and before the last one runs out. */
export interface CrlService {
  /** @throws {BrokerError} `store_unavailable` */
  current(): Promise<RevocationList>
  /** What is known is out of date: this process has just withdrawn something. */
  invalidate(): void
}

interface Known {
  readonly list: RevocationList
  readonly changes: number
  readonly signAgainAt: number
}

export interface CrlServiceOptions {
  readonly ledger: Ledger
  readonly ca: Ca
  readonly signer: Signer
  readonly lifetimeSeconds: number
  /** Milliseconds since the epoch. */
  readonly clock?: () => number
}

export function createCrlService({
  ledger,
  ca,
  signer,
  lifetimeSeconds,
  clock = Date.now,
}: CrlServiceOptions): CrlService {
  const cache: EncodedEntries = new Map()
  const lifetimeMs = lifetimeSeconds * 1000
  let known: Known | undefined
  let lookedAt = -Infinity
  let generation = 0
  /** One look at a time, so that lists become known in the order of their numbers. */
  let looking: { readonly generation: number; readonly answer: Promise<RevocationList> } | undefined
  let lookingNext: Promise<RevocationList> | undefined
  let rest: Promise<unknown> = Promise.resolve()

  async function look(startedIn: number): Promise<RevocationList> {
    const startedAt = clock()
    // Read before the list is: what is withdrawn in between makes the next look sign again.
    const changes = await ledger.changes(ca.id)
    let found = known
    if (found === undefined || found.changes !== changes || startedAt >= found.signAgainAt) {
      await rest
      // An entry stays on one more list after it has expired: https://www.rfc-editor.org/rfc/rfc5280#section-3.3
      const taken = await ledger.list(ca.id, new Date(startedAt - lifetimeMs))
      const signingSince = performance.now()
      const list = signCrl(ca, signer, taken, lifetimeSeconds, cache)
      rest = sleep((performance.now() - signingSince) * PAUSE_FACTOR, undefined, { ref: false })
      found = { list, changes, signAgainAt: startedAt + lifetimeMs / 2 }
    }
    known = found
    // A look that was under way may have read the ledger before the last withdrawal.
    if (generation === startedIn) lookedAt = startedAt
    return found.list
  }

  async function current(): Promise<RevocationList> {
    const now = clock()
    if (known !== undefined && now - lookedAt < LOOK_AGAIN_MS && now < known.signAgainAt) return known.list
    if (looking === undefined) {
      const answer = look(generation).finally(() => (looking = undefined))
      looking = { generation, answer }
      return answer
    }
    if (looking.generation === generation) return looking.answer
    lookingNext ??= looking.answer
      .catch(() => undefined)
      .then(() => {
        lookingNext = undefined
        return current()
      })
    return lookingNext
  }

  return {
    current,
    invalidate() {
      generation += 1
      lookedAt = -Infinity
    },
  }
}
