import type { Origin } from '../audit/event-of.ts'
import { sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import { lastingUntil, unfinishedGrants } from './grant-overview-store.ts'
import type { Grant } from './grant.ts'
import { withdrawGrants } from './withdraw-grants.ts'

const WAIT_MS = 10_000
const LOOK_AGAIN_MS = 50

/**
 * Withdraws what earlier attempts under the same idempotency key made, and waits until the access of all of it has
 * ended.
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
  const until = await lastingUntil(core.db.auto, earlierIds)
  if (until !== undefined && until.getTime() > deadline) {
    const message = `an earlier credential of this call cannot be withdrawn: it lasts until ${until.toISOString()}`
    const retryAfterSeconds = Math.ceil((until.getTime() - Date.now()) / 1000)
    throw new BrokerError('backend_unavailable', message, { retryAfterSeconds })
  }
  while ((await unfinishedGrants(core.db.auto, earlierIds)).length > 0) {
    if (Date.now() >= deadline || core.background.stopping.aborted) {
      throw new BrokerError(
        'backend_unavailable',
        'an earlier credential of this call cannot be withdrawn yet',
        {
          retryAfterSeconds: 10,
        },
      )
    }
    await sleep(LOOK_AGAIN_MS, core.background.stopping)
  }
}
