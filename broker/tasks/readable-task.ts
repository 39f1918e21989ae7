import type { Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import { decide, onTask, recordRefusal } from '../policy/authorize.ts'
import { isOwner, taskNotFound } from './find-own-task.ts'
import { findTask } from './task-store.ts'
import type { Task } from './task.ts'

/** Whether a caller may know of a task: its own, or one that policy lets it read. */
export function mayRead(core: Core, caller: Caller, task: Task): boolean {
  return isOwner(task, caller.workload) || decide(core, caller, 'readTask', onTask(task)).allowed
}

/**
 * Lets a caller go on who may know of a task. Somebody else's is as good as none, and the attempt is recorded.
 *
 * @throws {BrokerError} `not_found`
 */
export async function requireReadable(core: Core, caller: Caller, task: Task): Promise<void> {
  if (isOwner(task, caller.workload)) return
  const decision = decide(core, caller, 'readTask', onTask(task))
  if (decision.allowed) return
  await recordRefusal(core, caller, decision, { taskId: task.id })
  throw taskNotFound()
}

/** A task that the caller may read. @throws {BrokerError} `not_found` */
export async function readableTask(core: Core, caller: Caller, id: string): Promise<Task> {
  const task = await findTask(core.db.auto, id)
  if (task === undefined) throw taskNotFound()
  await requireReadable(core, caller, task)
  return task
}

/** Callers see their own; those whom policy lets read all tasks see all but what policy forbids them. */
export function ownerFilter(core: Core, caller: Caller): { owner?: { id: string; issuer: string } } {
  if (decide(core, caller, 'readTask', { kind: 'broker' }).allowed) return {}
  return { owner: { id: caller.workload.id, issuer: caller.workload.issuer } }
}
