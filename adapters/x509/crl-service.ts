import type { Ledger, RevocationList } from '../../broker/adapter.ts'
import type { Ca } from './ca.ts'
import { signCrl, type EncodedEntries } from './crl.ts'
import type { Signer } from './signature.ts'

/** How old what we know of the ledger may be. With the time of a request, a list is current within a second. */
const LOOK_AGAIN_MS = 400

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

export function createCrlService(
  ledger: Ledger,
  ca: Ca,
  signer: Signer,
  lifetimeSeconds: number,
): CrlService {
  const cache: EncodedEntries = new Map()
  const lifetimeMs = lifetimeSeconds * 1000
  let known: Known | undefined
  let lookedAt = 0
  let looking: Promise<RevocationList> | undefined
  let generation = 0

  async function look(): Promise<RevocationList> {
    const startedAt = Date.now()
    const startedIn = generation
    // Read before the list is: what is withdrawn in between makes the next look sign again.
    const changes = await ledger.changes(ca.id)
    let found = known
    if (found === undefined || found.changes !== changes || startedAt >= found.signAgainAt) {
      // An entry stays on one more list after it has expired: https://www.rfc-editor.org/rfc/rfc5280#section-3.3
      const taken = await ledger.list(ca.id, new Date(startedAt - lifetimeMs))
      const list = signCrl(ca, signer, taken, lifetimeSeconds, cache)
      found = { list, changes, signAgainAt: startedAt + lifetimeMs / 2 }
    }
    if (generation === startedIn) {
      known = found
      lookedAt = startedAt
      looking = undefined
    }
    return found.list
  }

  return {
    async current() {
      if (known !== undefined && Date.now() - lookedAt < LOOK_AGAIN_MS && Date.now() < known.signAgainAt)
        return known.list
      looking ??= look().catch((error: unknown) => {
        looking = undefined
        throw error
      })
      return looking
    },
    invalidate() {
      // A look that is under way may have read the ledger before: what it finds is not kept.
      generation += 1
      lookedAt = 0
      looking = undefined
    },
  }
}
