import { originOf, type Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import type { Session } from '../db/database.ts'
import { isUnknownOutcome } from '../db/store-error.ts'
import { BrokerError } from '../errors.ts'
import type { Idempotency } from '../tasks/idempotency.ts'
import { recordOnce, type RecordedIntent } from '../tasks/record-once.ts'
import { findOwnTask } from '../tasks/find-own-task.ts'
import type { Task } from '../tasks/task.ts'
import { discardGrants, discardIfRecorded } from './discard-grants.ts'
import { insertGrants } from './grant-store.ts'
import type { Grant } from './grant.ts'
import { intentEvents } from './intent-events.ts'
import { issueInMemory, mintGrants, type MintedGrant, type PlannedGrant } from './mint-grants.ts'
import { planGrants, type GrantWish } from './plan-grants.ts'

/**
 * Issues one more grant in an open task. Step 1, who asks, was answered before.
 *
 * @throws {BrokerError} what {@link planGrants} and {@link mintGrants} throw; `not_found`, `task_not_open`
 */
export async function issueGrant(
  core: Core,
  caller: Caller,
  taskId: string,
  wish: GrantWish,
  idempotency?: Idempotency,
): Promise<{ readonly task: Task; readonly minted: MintedGrant }> {
  const origin = originOf(caller)
  const task = await findOwnTask(core, caller, taskId)
  if (task.state !== 'open') throw notOpen()

  // 2 decide, 3 plan
  const taskSeconds = Math.max(1, Math.round((task.expiresAt.getTime() - task.createdAt.getTime()) / 1000))
  const planned = await planGrants(core, caller, task, taskSeconds, [wish])

  // 5 comes first for what is made in memory only: the next step records it as active
  const ready =
    idempotency === undefined ? await issueInMemory(core, task, planned, origin, task.expiresAt) : planned

  // 4 record the intent
  const recording = recordIntent(core, caller, task, ready, idempotency)
  const pending = await recording.catch(async (error: unknown) => {
    const made = ready.filter(({ issued }) => issued !== undefined)
    if (isUnknownOutcome(error)) {
      await discardIfRecorded(
        core,
        task.id,
        made.map(({ row }) => row.id),
        origin,
      )
    }
    throw error
  })

  // 5 create on the backend, 6 record that it is active
  const [minted] = await mintGrants(core, task, ready, pending, origin)
  if (minted === undefined) throw new BrokerError('internal', 'a grant was minted that is not there')

  // 7 respond, if there is still somebody to respond to
  if (caller.gone.aborted) {
    await discardGrants(core, task, [minted.grant], origin, { reason: 'caller_gone' })
    throw new BrokerError('task_not_open', 'the caller has gone')
  }
  return { task, minted }
}

function notOpen(): BrokerError {
  return new BrokerError('task_not_open', 'the task is not open any more')
}

async function recordIntent(
  core: Core,
  caller: Caller,
  task: Task,
  planned: readonly PlannedGrant[],
  idempotency: Idempotency | undefined,
): Promise<readonly Grant[]> {
  const origin = originOf(caller)
  const rows = planned.map(({ row }) => row)
  const events = intentEvents(origin, task, planned)
  const insert = async (session: Session): Promise<Grant[]> => {
    const inserted = await insertGrants(session, task.id, rows, core.timing.settleSeconds, events)
    if (inserted.length < rows.length) throw notOpen()
    return inserted
  }
  if (idempotency === undefined) return insert(core.db.auto)
  const record = async (session: Session): Promise<RecordedIntent> => ({
    task,
    pending: await insert(session),
  })
  const { pending } = await recordOnce(core, {
    owner: task.owner,
    operation: `addGrant:${task.id}`,
    idempotency,
    grantIds: rows.map(({ id }) => id),
    origin,
    first: record,
    again: record,
  })
  return pending
}
