import { recordEvents } from '../audit/audit-store.ts'
import { taskEvent, type Origin } from '../audit/event-of.ts'
import type { AuditEvent } from '../audit/event.ts'
import type { Core } from '../core.ts'
import type { Session } from '../db/database.ts'
import { startWithdrawalOfTasks } from '../grants/grant-store.ts'
import {
  chooseExpiredTasks,
  chooseFinishedTasks,
  finishTasks,
  lockExpiredHolder,
  startEnding,
} from './task-store.ts'
import type { Owner, Task } from './task.ts'

export const REAPER: Origin = { performedBy: { kind: 'broker', part: 'reaper' } }

async function expire(session: Session, ids: readonly string[]): Promise<number> {
  const tasks = await startEnding(session, ids, 'expired')
  await startWithdrawalOfTasks(session, ids, 'task_expired', 0)
  const finished = await finishTasks(session, ids)
  await recordEvents(session, [
    ...tasks.map((task) => taskEvent('task.expired', REAPER, task, { reason: 'expired' })),
    ...ended(finished),
  ])
  return tasks.length
}

function ended(tasks: readonly Task[]): AuditEvent[] {
  return tasks.map((task) => taskEvent('task.ended', REAPER, task, { reason: task.endReason ?? undefined }))
}

/** Takes up to `limit` open tasks whose time is over into `ending`; their grants are due at once. */
export async function expireTasks(core: Core, limit: number): Promise<number> {
  return core.db.transaction(async (session) => {
    const ids = await chooseExpiredTasks(session, limit)
    return ids.length === 0 ? 0 : expire(session, ids)
  })
}

/** Ends the open task that holds a key, if its time is over. Answers whether it did. */
export async function expireHolderOfKey(core: Core, owner: Owner, key: string): Promise<boolean> {
  return core.db.transaction(async (session) => {
    const holder = await lockExpiredHolder(session, owner, key)
    return holder !== undefined && (await expire(session, [holder])) > 0
  })
}

/** Ends `ending` tasks that have nothing left to withdraw: those without grants, and what a crash left half-ended. */
export async function finishEmptyTasks(core: Core, limit: number): Promise<number> {
  return core.db.transaction(async (session) => {
    const finished = await finishTasks(session, await chooseFinishedTasks(session, limit))
    await recordEvents(session, ended(finished))
    return finished.length
  })
}
