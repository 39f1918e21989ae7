import type { Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import { findTask } from './task-store.ts'
import type { Owner, Task } from './task.ts'

export function isOwner(task: Task, workload: Owner): boolean {
  return task.owner.id === workload.id && task.owner.issuer === workload.issuer
}

export function taskNotFound(): BrokerError {
  return new BrokerError('not_found', 'there is no such task')
}

/** A task of the caller itself. Somebody else's is as good as none. @throws {BrokerError} `not_found` */
export async function findOwnTask(core: Core, caller: Caller, taskId: string): Promise<Task> {
  const task = await findTask(core.db.auto, taskId)
  if (task === undefined || !isOwner(task, caller.workload)) throw taskNotFound()
  return task
}
