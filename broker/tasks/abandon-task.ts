import { recordEvents } from '../audit/audit-store.ts'
import { taskEvent, type Origin, type TaskFacts } from '../audit/event-of.ts'
import type { Core } from '../core.ts'
import { discardGrants } from '../grants/discard-grants.ts'
import { startWithdrawalOfTasks } from '../grants/grant-store.ts'
import type { Grant } from '../grants/grant.ts'
import { untilRecorded } from '../grants/until-recorded.ts'
import { withdrawGrants } from '../grants/withdraw-grants.ts'
import { forgetOpening } from './idempotency-store.ts'
import { finishTasks, startEnding } from './task-store.ts'

export interface Opening {
  readonly task: TaskFacts
  /** Which try under an idempotency key it was; undefined without a key. */
  readonly attemptId: string | undefined
}

type Reason = 'open_failed' | 'caller_gone'

/**
 * Ends a task that its caller never received, with what was made for it. If a retry under the same idempotency key
 * has taken the task over, only this attempt's grants go. Never throws: while the store is away it is tried again.
 */
export async function abandonTask(
  core: Core,
  opening: Opening,
  grants: readonly Grant[],
  origin: Origin,
  reason: Reason,
): Promise<void> {
  const what = { message: 'an unopened task is not ended yet', taskId: opening.task.id }
  await untilRecorded(core, what, () => endOrDiscard(core, opening, grants, origin, reason))
}

async function endOrDiscard(
  core: Core,
  { task, attemptId }: Opening,
  grants: readonly Grant[],
  origin: Origin,
  reason: Reason,
): Promise<void> {
  const claimed = await core.db.transaction(async (session) => {
    if (attemptId !== undefined && !(await forgetOpening(session, task.id, attemptId))) return undefined
    const ending = await startEnding(session, [task.id], reason)
    const started = await startWithdrawalOfTasks(session, [task.id], reason, core.timing.withdrawLeaseSeconds)
    const finished = await finishTasks(session, [task.id])
    await recordEvents(session, [
      ...ending.map((ended) => taskEvent('task.ending', origin, ended, { reason })),
      ...finished.map((ended) => taskEvent('task.ended', origin, ended, { reason })),
    ])
    return started
  })
  if (claimed === undefined) await discardGrants(core, task, grants, origin, { reason })
  else await withdrawGrants(core, claimed, origin)
}
