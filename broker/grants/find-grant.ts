import type { Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import { decide, onTask, recordRefusal } from '../policy/authorize.ts'
import { mayRead } from '../tasks/readable-task.ts'
import { findTask } from '../tasks/task-store.ts'
import { findGrant } from './grant-store.ts'
import type { GrantOfTask } from './grant.ts'

/** A grant the caller may see: its own, or any that policy lets it read. @throws {BrokerError} `not_found` */
export async function findVisibleGrant(core: Core, caller: Caller, grantId: string): Promise<GrantOfTask> {
  const grant = await findGrant(core.db.auto, grantId)
  const task = grant === undefined ? undefined : await findTask(core.db.auto, grant.taskId)
  if (grant === undefined || task === undefined) throw grantNotFound()
  if (!mayRead(core, caller, task)) {
    const decision = decide(core, caller, 'readTask', onTask(task))
    await recordRefusal(core, caller, decision, { taskId: task.id, grantId })
    throw grantNotFound()
  }
  return { grant, task }
}

export function grantNotFound(): BrokerError {
  return new BrokerError('not_found', 'there is no such grant')
}
