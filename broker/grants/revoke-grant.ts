import { recordEvents } from '../audit/audit-store.ts'
import { decided, grantEvent } from '../audit/event-of.ts'
import { originOf, type Caller } from '../caller.ts'
import { settledWithin, sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import { decide, onTask, refuse } from '../policy/authorize.ts'
import { isOwner } from '../tasks/find-own-task.ts'
import { findGrant, startWithdrawal } from './grant-store.ts'
import { findVisibleGrant, grantNotFound } from './find-grant.ts'
import type { Grant } from './grant.ts'
import { withdrawGrants } from './withdraw-grants.ts'

const LOOK_AGAIN_MS = 40

/**
 * Withdraws one grant of a task that goes on. The owner of the task may, and whoever policy lets `revoke` it.
 * Answers the grant; its state is `revoked` once its access has ended.
 *
 * @throws {BrokerError} `not_found`, `denied`, `store_unavailable`
 */
export async function revokeGrant(
  core: Core,
  caller: Caller,
  grantId: string,
  order: { readonly reason: string | undefined; readonly waitSeconds: number },
): Promise<Grant> {
  const { grant, task } = await findVisibleGrant(core, caller, grantId)
  const action = isOwner(task, caller.workload) ? 'endTask' : 'revoke'
  const decision = decide(core, caller, action, onTask(task))
  if (!decision.allowed) {
    await refuse(core, caller, decision, {
      taskId: task.id,
      grantId,
      resource: grant.resource,
      access: grant.access,
    })
  }
  const deadline = Date.now() + order.waitSeconds * 1000
  const origin = originOf(caller)
  const claimed = await core.db.transaction(async (session) => {
    const started = await startWithdrawal(session, [grantId], 'revoked', core.timing.withdrawLeaseSeconds)
    const about = { ...decided(decision), reason: order.reason }
    await recordEvents(
      session,
      started.map((own) => grantEvent('grant.withdrawing', origin, task, own, about)),
    )
    return started
  })
  const withdrawing = withdrawGrants(core, claimed, origin)
  core.background.start('withdraw a grant', async () => {
    await withdrawing
  })
  await settledWithin(withdrawing, deadline - Date.now())
  for (;;) {
    const current = await findGrant(core.db.auto, grantId)
    if (current === undefined) throw grantNotFound()
    const stop = current.state === 'revoked' || Date.now() >= deadline || core.background.stopping.aborted
    if (stop) return current
    await sleep(LOOK_AGAIN_MS, core.background.stopping)
  }
}
