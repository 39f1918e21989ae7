import type { Origin } from '../audit/event-of.ts'
import { sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import { findGrant } from './grant-store.ts'
import type { Grant } from './grant.ts'
import { withdrawGrants } from './withdraw-grants.ts'

const WAIT_MS = 10_000
const LOOK_AGAIN_MS = 50

/**
 * Withdraws what an earlier attempt under the same idempotency key made, and waits until its access has ended: a
 * retry never leaves two live credentials.
 *
 * @throws {BrokerError} `backend_unavailable` if that cannot be shown in time
 */
export async function withdrawEarlier(
  core: Core,
  claimed: readonly Grant[],
  earlierIds: readonly string[],
  origin: Origin,
): Promise<void> {
  await withdrawGrants(core, claimed, origin)
  const deadline = Date.now() + WAIT_MS
  for (const id of earlierIds) {
    while ((await findGrant(core.db.auto, id))?.state !== 'revoked') {
      if (Date.now() >= deadline) {
        throw new BrokerError(
          'backend_unavailable',
          'the credential of the first attempt cannot be withdrawn yet',
          {
            retryAfterSeconds: 10,
          },
        )
      }
      await sleep(LOOK_AGAIN_MS, core.background.stopping)
      if (core.background.stopping.aborted) throw new BrokerError('overloaded', 'the broker is stopping')
    }
  }
}
