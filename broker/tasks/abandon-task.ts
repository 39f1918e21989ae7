import { recordEvents } from '../audit/audit-store.ts'
import { taskEvent, type Origin } from '../audit/event-of.ts'
import type { Core } from '../core.ts'
import { discardGrants } from '../grants/discard-grants.ts'
import { startWithdrawalOfTasks } from '../grants/grant-store.ts'
import type { Grant } from '../grants/grant.ts'
import { withdrawGrants } from '../grants/withdraw-grants.ts'
import { forgetOpening } from './idempotency-store.ts'
import { finishTasks, startEnding } from './task-store.ts'
import type { Task } from './task.ts'

/**
 * Ends a task that its caller never received, with what was made for it. If a retry under the same idempotency key
 * has taken the task over, only this attempt's grants go. Never throws: what the store cannot be told now ends when
 * the task's time is over.
 */
export async function abandonTask(
  core: Core,
  task: Task,
  pending: readonly Grant[],
  origin: Origin,
  reason: 'open_failed' | 'caller_gone',
): Promise<void> {
  const ids = pending.map((grant) => grant.id)
  try {
    const claimed = await core.db.transaction(async (session) => {
      if (await forgetOpening(session, task.id, ids)) return undefined
      const ending = await startEnding(session, [task.id], reason)
      const grants = await startWithdrawalOfTasks(
        session,
        [task.id],
        reason,
        core.timing.withdrawLeaseSeconds,
      )
      const finished = await finishTasks(session, [task.id])
      await recordEvents(session, [
        ...ending.map((ended) => taskEvent('task.ending', origin, ended, { reason })),
        ...finished.map((ended) => taskEvent('task.ended', origin, ended, { reason })),
      ])
      return grants
    })
    if (claimed !== undefined) await withdrawGrants(core, claimed, origin)
    else await discardGrants(core, task, pending, origin, { reason })
  } catch (error) {
    core.logger.error({ err: error, taskId: task.id }, 'an unopened task is not ended yet')
  }
}
