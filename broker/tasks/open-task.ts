import { v7 as uuidv7 } from 'uuid'
import { decided, taskEvent } from '../audit/event-of.ts'
import { originOf, type Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import type { Session } from '../db/database.ts'
import { isUnknownOutcome, violated } from '../db/store-error.ts'
import { BrokerError } from '../errors.ts'
import { insertGrants } from '../grants/grant-store.ts'
import { intentEvents } from '../grants/intent-events.ts'
import { issueInMemory, mintGrants, type MintedGrant, type PlannedGrant } from '../grants/mint-grants.ts'
import { planGrants, questionContext, type GrantWish } from '../grants/plan-grants.ts'
import type { Delegation } from '../identity/workload.ts'
import { decide, refuse } from '../policy/authorize.ts'
import type { Decision } from '../policy/policy-engine.ts'
import { abandonTask } from './abandon-task.ts'
import { expireHolderOfKey } from './expire-tasks.ts'
import { recordOnce, type RecordedIntent } from './record-once.ts'
import type { Idempotency } from './idempotency.ts'
import { findOpenTaskByKey, findTask, insertTask, OPEN_KEY_INDEX, type NewTask } from './task-store.ts'
import type { Owner, Task } from './task.ts'

export interface TaskWish {
  readonly purpose: string
  readonly key?: string | undefined
  readonly ttlSeconds?: number | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly grants: readonly GrantWish[]
}

export interface OpenedTask {
  readonly task: Task
  /** Which try under an idempotency key it is. */
  readonly attemptId: string | undefined
  readonly grants: readonly MintedGrant[]
}

/**
 * Opens a task with all the grants it asks for, or with none and not at all.
 *
 * @throws {BrokerError} `denied`, `invalid_request`, `task_exists`, `task_not_open`, `idempotency_key_reused`, and
 * what {@link mintGrants} throws
 */
export async function openTask(
  core: Core,
  caller: Caller,
  wish: TaskWish,
  delegation: Delegation | undefined,
  idempotency?: Idempotency,
): Promise<OpenedTask> {
  const { newTask, decision } = await planTask(core, caller, wish, delegation)
  const planned = await planGrants(core, caller, newTask, newTask.ttlSeconds, wish.grants)
  const origin = originOf(caller)
  const ready = idempotency === undefined ? await issueInMemory(core, newTask, planned, origin) : planned
  const recording = recordIntent(core, caller, newTask, decision, ready, idempotency)
  const { task, pending, attemptId } = await recording.catch(async (error: unknown) => {
    // The commit may have gone through: then the task is open, and nobody knows of it.
    if (isUnknownOutcome(error)) {
      await abandonTask(core, { task: newTask, attemptId: undefined }, [], origin, 'open_failed')
    }
    throw error
  })
  let grants: MintedGrant[]
  try {
    grants = await mintGrants(core, task, ready, pending, origin)
  } catch (error) {
    await abandonTask(core, { task, attemptId }, pending, origin, 'open_failed')
    throw error
  }
  if (caller.gone.aborted) {
    await abandonTask(core, { task, attemptId }, pending, origin, 'caller_gone')
    throw new BrokerError('task_not_open', 'the caller has gone')
  }
  return { task, attemptId, grants }
}

async function planTask(
  core: Core,
  caller: Caller,
  wish: TaskWish,
  delegation: Delegation | undefined,
): Promise<{ newTask: NewTask; decision: Decision }> {
  const { id, issuer, subject } = caller.workload
  const asked = wish.ttlSeconds ?? core.timing.defaultTaskTtlSeconds
  const facts = {
    id: uuidv7(),
    key: wish.key ?? null,
    purpose: wish.purpose,
    owner: { id, issuer, subject },
    onBehalfOf: delegation?.user ?? null,
    actors: delegation?.actors ?? [],
    labels: wish.labels,
    parentTaskId: null,
  }
  const decision = decide(core, caller, 'openTask', { kind: 'broker' }, questionContext(facts, asked))
  if (!decision.allowed) {
    const { purpose, onBehalfOf, actors, labels } = facts
    await refuse(core, caller, decision, { purpose, onBehalfOf, actors, labels })
  }
  const ttlSeconds = Math.min(asked, core.timing.maxTaskTtlSeconds, decision.maxTtlSeconds ?? Infinity)
  return { newTask: { ...facts, ttlSeconds }, decision }
}

async function recordIntent(
  core: Core,
  caller: Caller,
  newTask: NewTask,
  decision: Decision,
  planned: readonly PlannedGrant[],
  idempotency: Idempotency | undefined,
): Promise<RecordedIntent & { readonly attemptId: string | undefined }> {
  const origin = originOf(caller)
  const { settleSeconds } = core.timing
  const rows = planned.map(({ row }) => row)
  const opened = taskEvent('task.opened', origin, newTask, {
    ...decided(decision),
    detail: { ttlSeconds: newTask.ttlSeconds, key: newTask.key },
  })
  const first = async (session: Session): Promise<RecordedIntent> => {
    const { task, grants } = await insertTask(session, newTask, rows, settleSeconds, [
      opened,
      ...intentEvents(origin, newTask, planned),
    ])
    return { task, pending: grants }
  }
  const again = async (session: Session, taskId: string): Promise<RecordedIntent> => {
    const task = await findTask(session, taskId)
    const events = task === undefined ? [] : intentEvents(origin, task, planned)
    const pending = await insertGrants(session, taskId, rows, settleSeconds, events)
    if (task?.state === 'open' && pending.length === rows.length) return { task, pending }
    throw new BrokerError('task_not_open', 'the task of the first try is not open any more', {
      details: { taskId },
    })
  }
  const recorded = await retryingKey(core, newTask, async () => {
    if (idempotency === undefined) return { ...(await first(core.db.auto)), attemptId: undefined }
    const grantIds = rows.map(({ id }) => id)
    const { owner } = newTask
    return recordOnce(core, { owner, operation: 'openTask', idempotency, grantIds, origin, first, again })
  })
  if (recorded.task.id === newTask.id) core.metrics.tasksOpened.inc()
  return recorded
}

/** Turns a taken key into `task_exists`, unless its holder's time is over: then that one is ended first. */
async function retryingKey<T>(core: Core, newTask: NewTask, record: () => Promise<T>): Promise<T> {
  try {
    return await record()
  } catch (error) {
    if (violated(error) !== OPEN_KEY_INDEX || newTask.key === null) throw error
    if (await expireHolderOfKey(core, newTask.owner, newTask.key)) {
      return record().catch((again: unknown) => rethrow(core, newTask.owner, newTask.key, again))
    }
    return rethrow(core, newTask.owner, newTask.key, error)
  }
}

async function rethrow(core: Core, owner: Owner, key: string | null, error: unknown): Promise<never> {
  if (violated(error) !== OPEN_KEY_INDEX || key === null) throw error
  const holder = await findOpenTaskByKey(core.db.auto, owner, key)
  throw new BrokerError('task_exists', 'an open task has this key', {
    details: holder === undefined ? {} : { taskId: holder.id },
  })
}
