import { v7 as uuidv7 } from 'uuid'
import { decided, grantEvent, taskEvent } from '../audit/event-of.ts'
import type { AuditEvent } from '../audit/event.ts'
import { originOf, type Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import type { Session } from '../db/database.ts'
import { violated } from '../db/store-error.ts'
import { BrokerError } from '../errors.ts'
import { discardGrants } from '../grants/discard-grants.ts'
import { insertPendingGrants, startWithdrawal } from '../grants/grant-store.ts'
import type { Grant } from '../grants/grant.ts'
import { mintGrants, type MintedGrant, type PlannedGrant } from '../grants/mint-grants.ts'
import { planGrants, questionContext, type GrantWish } from '../grants/plan-grants.ts'
import { withdrawEarlier } from '../grants/supersede.ts'
import type { Delegation } from '../identity/workload.ts'
import { decide, refuse } from '../policy/authorize.ts'
import type { Decision } from '../policy/policy-engine.ts'
import { abandonTask } from './abandon-task.ts'
import { expireHolderOfKey } from './expire-tasks.ts'
import { lockEarlierAttempt, rememberAttempt, replaceAttempt } from './idempotency-store.ts'
import { requireSameRequest, type Idempotency } from './idempotency.ts'
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
  const { task, pending } = await recordIntent(core, caller, newTask, decision, planned, idempotency)
  const origin = originOf(caller)
  let grants: MintedGrant[]
  try {
    grants = await mintGrants(core, task, planned, pending, origin)
  } catch (error) {
    await abandonTask(core, task, pending, origin, 'open_failed')
    throw error
  }
  if (caller.gone.aborted) {
    await abandonTask(core, task, pending, origin, 'caller_gone')
    throw new BrokerError('task_not_open', 'the caller has gone')
  }
  return { task, grants }
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

interface Recorded {
  readonly task: Task
  readonly pending: readonly Grant[]
}

async function recordIntent(
  core: Core,
  caller: Caller,
  newTask: NewTask,
  decision: Decision,
  planned: readonly PlannedGrant[],
  idempotency: Idempotency | undefined,
): Promise<Recorded> {
  const origin = originOf(caller)
  const { settleSeconds } = core.timing
  const rows = planned.map(({ row }) => row)
  const opened = taskEvent('task.opened', origin, newTask, {
    ...decided(decision),
    detail: { ttlSeconds: newTask.ttlSeconds, key: newTask.key },
  })
  const requested = (task: Task | NewTask): AuditEvent[] =>
    planned.map(({ row, decision: allowed }) =>
      grantEvent('grant.requested', origin, task, row, {
        ...decided(allowed),
        detail: { ttlSeconds: row.ttlSeconds },
      }),
    )
  const insert = async (session: Session): Promise<Recorded> => {
    const { task, grants } = await insertTask(session, newTask, rows, settleSeconds, [
      opened,
      ...requested(newTask),
    ])
    core.metrics.tasksOpened.inc()
    return { task, pending: grants }
  }
  if (idempotency === undefined) return retryingKey(core, newTask, async () => insert(core.db.auto))
  const { key, requestHash } = idempotency
  const grantIds = rows.map(({ id }) => id)
  const { owner } = newTask
  const recorded = await retryingKey(core, newTask, () =>
    core.db.transaction(async (session) => {
      const earlier = await lockEarlierAttempt(session, owner, 'openTask', key)
      if (earlier === undefined) {
        const fresh = await insert(session)
        const taskId = newTask.id
        await rememberAttempt(session, { owner, operation: 'openTask', key, requestHash, taskId, grantIds })
        return { ...fresh, earlierIds: [], claimed: [] }
      }
      requireSameRequest(earlier, requestHash)
      const task = await findTask(session, earlier.taskId)
      const claimed = await startWithdrawal(
        session,
        earlier.grantIds,
        'superseded',
        core.timing.withdrawLeaseSeconds,
      )
      const events = task === undefined ? [] : requested(task)
      const pending = await insertPendingGrants(session, earlier.taskId, rows, settleSeconds, events)
      if (task?.state !== 'open' || pending.length < rows.length) {
        throw new BrokerError('task_not_open', 'the task of the first attempt is not open any more', {
          details: { taskId: earlier.taskId },
        })
      }
      await replaceAttempt(session, owner, 'openTask', key, grantIds)
      return { task, pending, earlierIds: earlier.grantIds, claimed }
    }),
  )
  try {
    await withdrawEarlier(core, recorded.claimed, recorded.earlierIds, origin)
  } catch (error) {
    // The task stays: the next retry of the same call takes it over.
    await discardGrants(core, recorded.task, recorded.pending, origin, { reason: 'issue_failed' })
    throw error
  }
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
