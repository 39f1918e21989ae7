import { AdapterError, type Credential, type GrantPlan, type Issued } from '../adapter.ts'
import { recordEvents } from '../audit/audit-store.ts'
import { decided, grantEvent, type Origin, type TaskFacts } from '../audit/event-of.ts'
import { callAdapter } from '../call.ts'
import type { Core, Resource } from '../core.ts'
import { BrokerError } from '../errors.ts'
import type { Decision } from '../policy/policy-engine.ts'
import type { Secret } from '../secret.ts'
import type { Task } from '../tasks/task.ts'
import { discardGrants } from './discard-grants.ts'
import { activateGrants, type NewGrant } from './grant-store.ts'
import type { Grant } from './grant.ts'

/** A grant that policy allows and that has a handle, before it is recorded. */
export interface PlannedGrant {
  readonly row: NewGrant
  readonly plan: GrantPlan
  readonly resource: Resource
  readonly decision: Decision
  /** Set by {@link issueInMemory}. */
  readonly issued?: Issued
}

export interface MintedGrant {
  readonly grant: Grant
  readonly credential: Secret<Credential>
}

/**
 * Step 5 of issuing, before step 4, if no adapter of these grants touches anything outside this process: what was
 * made is in memory only, and recorded as issued in one transaction. Otherwise answers the grants as they are. That one
 * could not be made is recorded.
 *
 * @param endsBy the end of the task, if it is open already: what is recorded later cannot be shortened by then
 * @throws {BrokerError} `backend_failed`, `store_unavailable`
 */
export async function issueInMemory(
  core: Core,
  task: TaskFacts,
  planned: readonly PlannedGrant[],
  origin: Origin,
  endsBy?: Date,
): Promise<PlannedGrant[]> {
  if (planned.some(({ resource }) => resource.adapter.sideEffects)) return [...planned]
  const requestedAt = new Date()
  return Promise.all(
    planned.map(async (one) => {
      const { row } = one
      const end = requestedAt.getTime() + row.ttlSeconds * 1000
      const expiresAt = new Date(Math.min(end, endsBy?.getTime() ?? Infinity))
      try {
        const issued = await issueOnBackend(core, one, {
          ...row,
          taskId: one.plan.taskId,
          requestedAt,
          expiresAt,
        })
        const { handle = row.handle, expiresAt: issuedUntil = expiresAt } = issued
        return { ...one, row: { ...row, handle, issuedUntil }, issued }
      } catch (error) {
        const about = { ...decided(one.decision), error: messageOfFailure(error), reason: 'issue_failed' }
        await recordEvents(core.db.auto, [grantEvent('grant.failed', origin, task, row, about)])
        throw toBrokerError(error)
      }
    }),
  )
}

/**
 * Steps 5 and 6 of issuing, for grants that are recorded as `pending`: creates the credentials on their backends
 * side by side, then makes all of them active or none. Whatever goes wrong, what was created is withdrawn before the
 * error is thrown, or left to the reaper with its row.
 *
 * @throws {BrokerError} `backend_failed`, `backend_unavailable`, `backend_timeout`, `task_not_open`, `store_unavailable`
 */
export async function mintGrants(
  core: Core,
  task: Task,
  planned: readonly PlannedGrant[],
  pending: readonly Grant[],
  origin: Origin,
): Promise<MintedGrant[]> {
  if (pending.length === 0) return []
  if (planned.every(({ issued }) => issued !== undefined)) {
    return handOver(
      core,
      pending,
      planned.map(({ row, issued }) => [row.id, issued] as const),
    )
  }
  const attempts = await Promise.allSettled(
    pending.map((grant) => {
      const plan = planned.find(({ row }) => row.id === grant.id)
      if (plan === undefined) throw new BrokerError('internal', 'a grant was recorded that was not planned')
      return issueOnBackend(core, plan, grant)
    }),
  )
  const failure = attempts.find((attempt) => attempt.status === 'rejected')
  if (failure !== undefined) {
    await discardGrants(core, task, pending, origin, {
      reason: 'issue_failed',
      errors: new Map(pending.map((grant, index) => [grant.id, messageOfAttempt(attempts[index])])),
      unsettled: new Set(pending.filter((_, index) => !isSettled(attempts[index])).map((grant) => grant.id)),
    })
    throw toBrokerError(failure.reason)
  }
  const issued = attempts.filter((attempt) => attempt.status === 'fulfilled').map(({ value }) => value)
  const active = await activate(core, task, planned, pending, issued, origin)
  return handOver(
    core,
    active,
    pending.map(({ id }, index) => [id, issued[index]] as const),
  )
}

function handOver(
  core: Core,
  active: readonly Grant[],
  issued: readonly (readonly [grantId: string, issued: Issued | undefined])[],
): MintedGrant[] {
  const byGrant = new Map(issued)
  return active.map((grant) => {
    const credential = byGrant.get(grant.id)?.credential
    if (credential === undefined)
      throw new BrokerError('internal', 'a grant became active that was not issued')
    core.metrics.grantsIssued.inc({ resource: grant.resource })
    return { grant, credential }
  })
}

type GrantToIssue = Pick<Grant, 'id' | 'taskId' | 'resource' | 'handle' | 'requestedAt' | 'expiresAt'>

async function issueOnBackend(core: Core, planned: PlannedGrant, grant: GrantToIssue): Promise<Issued> {
  const { issueTimeoutMs } = core.timing
  const issueBefore = new Date(grant.requestedAt.getTime() + issueTimeoutMs)
  const stop = core.metrics.issueSeconds.startTimer({ resource: grant.resource })
  try {
    const request = { ...planned.plan, taskId: grant.taskId, expiresAt: grant.expiresAt, issueBefore }
    return await callAdapter(issueTimeoutMs, (call) =>
      planned.resource.adapter.issue(request, grant.handle, call),
    )
  } catch (error) {
    core.metrics.grantsFailed.inc({ resource: grant.resource })
    core.logger.warn({ err: error, grantId: grant.id, resource: grant.resource }, 'grant could not be issued')
    throw error
  } finally {
    stop()
  }
}

async function activate(
  core: Core,
  task: Task,
  planned: readonly PlannedGrant[],
  pending: readonly Grant[],
  issued: readonly Issued[],
  origin: Origin,
): Promise<Grant[]> {
  const answers = new Map(pending.map(({ id }, index) => [id, issued[index]]))
  const events = planned.map(({ row, decision }) => {
    const { handle = row.handle } = answers.get(row.id) ?? {}
    return grantEvent('grant.issued', origin, task, { ...row, handle }, decided(decision))
  })
  const rows = pending.map(({ id }, index) => ({
    id,
    expiresAt: issued[index]?.expiresAt,
    handle: issued[index]?.handle,
  }))
  let active: Grant[]
  try {
    active = await activateGrants(core.db.auto, rows, events)
  } catch (error) {
    // Whether they became active is unknown: without a record that says so, nothing is handed out.
    await discardGrants(core, task, pending, origin, { reason: 'issue_failed' })
    throw error
  }
  if (active.length === pending.length) return active
  await discardGrants(core, task, pending, origin, { reason: 'task_not_open' })
  throw new BrokerError('task_not_open', 'the task or the grant ended while the credential was being made')
}

function isSettled(attempt: PromiseSettledResult<Issued> | undefined): boolean {
  if (attempt?.status === 'fulfilled') return true
  return attempt?.reason instanceof AdapterError && attempt.reason.settled
}

function messageOfAttempt(attempt: PromiseSettledResult<Issued> | undefined): string | undefined {
  return attempt?.status === 'rejected' ? messageOfFailure(attempt.reason) : undefined
}

function messageOfFailure(reason: unknown): string {
  return reason instanceof AdapterError ? reason.message : 'the adapter failed unexpectedly'
}

export function toBrokerError(reason: unknown): BrokerError {
  if (reason instanceof BrokerError) return reason
  if (!(reason instanceof AdapterError)) {
    return new BrokerError('internal', 'the credential could not be made', { cause: reason })
  }
  const code = {
    unavailable: 'backend_unavailable',
    timeout: 'backend_timeout',
    failed: 'backend_failed',
  } as const
  return new BrokerError(code[reason.failure], reason.message, {
    cause: reason,
    ...(reason.failure === 'failed' ? {} : { retryAfterSeconds: 5 }),
  })
}
