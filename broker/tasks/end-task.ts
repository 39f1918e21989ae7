import { recordEvents } from '../audit/audit-store.ts'
import { decided, taskEvent } from '../audit/event-of.ts'
import { originOf, type Caller } from '../caller.ts'
import { settledWithin, sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import { outstandingGrants } from '../grants/grant-overview-store.ts'
import { startWithdrawalOfTasks } from '../grants/grant-store.ts'
import type { Grant } from '../grants/grant.ts'
import { withdrawGrants } from '../grants/withdraw-grants.ts'
import { decide, onTask, refuse } from '../policy/authorize.ts'
import { taskNotFound } from './find-own-task.ts'
import { requireReadable } from './readable-task.ts'
import { findTask, finishTasks, startEnding } from './task-store.ts'
import type { Task } from './task.ts'

/** A task after it was told to end, and what can still be open. Empty once its state is `ended`. */
export interface Ending {
  readonly task: Task
  readonly outstanding: readonly Grant[]
}

export interface EndOrder {
  readonly kind: 'end' | 'revoke'
  /** An administrator's reason. */
  readonly reason?: string | undefined
  /** How long to wait for access to end, in seconds. */
  readonly waitSeconds: number
}

const LOOK_AGAIN_MS = 40
const MAX_OUTSTANDING = 1_000

/**
 * Ends a task: from the first commit on nothing is added to it, then its grants are withdrawn. Ending a task that is
 * ending or ended already is no error.
 *
 * @throws {BrokerError} `not_found`, `denied`, `store_unavailable`
 */
export async function endTask(core: Core, caller: Caller, taskId: string, order: EndOrder): Promise<Ending> {
  const task = await findTask(core.db.auto, taskId)
  if (task === undefined) throw taskNotFound()
  const action = order.kind === 'end' ? 'endTask' : 'revoke'
  const decision = decide(core, caller, action, onTask(task))
  if (!decision.allowed) {
    await requireReadable(core, caller, task)
    await refuse(core, caller, decision, { taskId, purpose: task.purpose })
  }
  const deadline = Date.now() + order.waitSeconds * 1000
  const origin = originOf(caller)
  const endReason = order.kind === 'end' ? 'ended' : 'revoked'
  const claimed = await core.db.transaction(async (session) => {
    const started = await startEnding(session, [taskId], endReason)
    if (started.length === 0) return []
    const reason = order.kind === 'end' ? 'task_ended' : 'task_revoked'
    const grants = await startWithdrawalOfTasks(session, [taskId], reason, core.timing.withdrawLeaseSeconds)
    const type = order.kind === 'end' ? 'task.ending' : 'revocation.ordered'
    const about = {
      ...decided(decision),
      reason: order.reason ?? endReason,
      detail: { grants: grants.length },
    }
    await recordEvents(
      session,
      started.map((ended) => taskEvent(type, origin, ended, about)),
    )
    const finished = await finishTasks(session, [taskId])
    await recordEvents(
      session,
      finished.map((ended) => taskEvent('task.ended', origin, ended, { reason: endReason })),
    )
    return grants
  })
  // Bounded by the adapter's own limits; a slow backend is left to it while the caller is told what is outstanding.
  const withdrawing = withdrawGrants(core, claimed, origin)
  core.background.start('withdraw the grants of a task', async () => {
    await withdrawing
  })
  await settledWithin(withdrawing, deadline - Date.now())
  const outstanding = await outstandingGrants(core.db.auto, taskId, MAX_OUTSTANDING)
  return waitForEnd(core, taskId, isHopeless(outstanding, deadline) ? Date.now() : deadline)
}

/** Some access cannot end before its own time, which comes after the wait is over. */
function isHopeless(outstanding: readonly Grant[], deadline: number): boolean {
  return outstanding.some(
    (grant) =>
      grant.state === 'revoking' && grant.deferredUntil !== null && grant.deferredUntil.getTime() > deadline,
  )
}

async function waitForEnd(core: Core, taskId: string, deadline: number): Promise<Ending> {
  for (;;) {
    const task = await findTask(core.db.auto, taskId)
    if (task === undefined) throw taskNotFound()
    if (task.state === 'ended') return { task, outstanding: [] }
    const left = deadline - Date.now()
    if (left <= 0 || core.background.stopping.aborted) {
      return { task, outstanding: await outstandingGrants(core.db.auto, taskId, MAX_OUTSTANDING) }
    }
    await sleep(Math.min(LOOK_AGAIN_MS, left), core.background.stopping)
  }
}
