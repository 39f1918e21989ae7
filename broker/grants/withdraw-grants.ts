import { AdapterError, type Revoked } from '../adapter.ts'
import { grantEvent, taskEvent, type Origin } from '../audit/event-of.ts'
import { recordEvents } from '../audit/audit-store.ts'
import type { AuditEvent } from '../audit/event.ts'
import { callAdapter } from '../call.ts'
import { backoffMs } from '../clock.ts'
import type { Core } from '../core.ts'
import { groupBy } from '../group-by.ts'
import { findTasks, finishTasks } from '../tasks/task-store.ts'
import type { Task } from '../tasks/task.ts'
import type { Grant } from './grant.ts'
import { recordWithdrawals, type RecordedWithdrawal, type WithdrawalOutcome } from './withdrawal-store.ts'

const OPEN_RETRY = { firstMs: 1_000, capMs: 60_000 }
const RESIDUE_RETRY = { firstMs: 30_000, capMs: 3_600_000 }

/** What an attempt to withdraw a set of grants came to. */
export interface WithdrawalSummary {
  readonly accessEnded: number
  readonly removed: number
  readonly residue: number
  readonly failed: number
}

/**
 * Withdraws grants that the caller has claimed: on each backend first their access, then what was created; then
 * records what came of it. Backends work side by side, so that one that is dead delays its own grants only. A failed
 * attempt is recorded too and is due again later; nothing is thrown for it.
 *
 * @param settled ids of grants whose issue has returned: their withdrawal is final at once
 * @throws {BrokerError} `store_unavailable` if the outcome could not be recorded: the claim runs out and the work
 * is done again, which is harmless
 */
export async function withdrawGrants(
  core: Core,
  grants: readonly Grant[],
  origin: Origin,
  settled: ReadonlySet<string> = new Set(),
): Promise<WithdrawalSummary> {
  const perResource = groupBy(grants, (grant) => grant.resource)
  const summaries = await Promise.all(
    [...perResource].map(([resource, own]) => withdrawFromResource(core, resource, own, origin, settled)),
  )
  return summaries.flat().reduce(add, NOTHING)
}

const NOTHING: WithdrawalSummary = { accessEnded: 0, removed: 0, residue: 0, failed: 0 }

function add(one: WithdrawalSummary, other: WithdrawalSummary): WithdrawalSummary {
  return {
    accessEnded: one.accessEnded + other.accessEnded,
    removed: one.removed + other.removed,
    residue: one.residue + other.residue,
    failed: one.failed + other.failed,
  }
}

async function withdrawFromResource(
  core: Core,
  resource: string,
  grants: readonly Grant[],
  origin: Origin,
  settled: ReadonlySet<string>,
): Promise<WithdrawalSummary[]> {
  const summaries: WithdrawalSummary[] = []
  for (let start = 0; start < grants.length; start += core.timing.withdrawBatch) {
    const batch = grants.slice(start, start + core.timing.withdrawBatch)
    const outcomes = await revokeOnBackend(core, resource, batch)
    const told = outcomes.map((outcome) => ({ ...outcome, settled: settled.has(outcome.grantId) }))
    summaries.push(await record(core, told, origin))
  }
  return summaries
}

async function revokeOnBackend(core: Core, resource: string, grants: readonly Grant[]): Promise<Outcome[]> {
  const adapter = core.resources.get(resource)?.adapter
  if (adapter === undefined) {
    // Another broker of this store serves it: hand it over at once.
    return grants.map((grant) => failedOutcome(grant, `this broker does not serve resource ${resource}`))
  }
  const handles = grants.map((grant) => grant.handle)
  try {
    const revoked = await callAdapter(core.timing.withdrawTimeoutMs, (call) => adapter.revoke(handles, call))
    return grants.map((grant, index) => toOutcome(grant, revoked[index]))
  } catch (error) {
    core.logger.warn({ err: error, resource, grants: grants.length }, 'backend did not withdraw')
    const message = error instanceof AdapterError ? error.message : 'the adapter failed unexpectedly'
    return grants.map((grant) => failedOutcome(grant, message))
  }
}

type Outcome = Omit<WithdrawalOutcome, 'settled'>

const NOT_YET = { accessEnded: false, residue: undefined, error: undefined, deferredUntil: undefined }

function failedOutcome(grant: Grant, error: string): Outcome {
  const retryMs = backoffMs(grant.attempts + 1, OPEN_RETRY.firstMs, OPEN_RETRY.capMs)
  return { ...NOT_YET, grantId: grant.id, error, retrySeconds: retryMs / 1000 }
}

function toOutcome(grant: Grant, revoked: Revoked | undefined): Outcome {
  if (revoked === undefined) return failedOutcome(grant, 'the adapter said nothing about this grant')
  if (revoked.access === 'open') return failedOutcome(grant, revoked.error.message)
  if (revoked.access === 'expiring')
    return { ...NOT_YET, grantId: grant.id, deferredUntil: revoked.endsAt, retrySeconds: 0 }
  const ended = { ...NOT_YET, grantId: grant.id, accessEnded: true }
  if (revoked.removed) return { ...ended, retrySeconds: 0 }
  const retryMs = backoffMs(grant.attempts + 1, RESIDUE_RETRY.firstMs, RESIDUE_RETRY.capMs)
  return { ...ended, residue: revoked.residue, retrySeconds: retryMs / 1000 }
}

async function record(
  core: Core,
  outcomes: readonly WithdrawalOutcome[],
  origin: Origin,
): Promise<WithdrawalSummary> {
  const recorded = await core.db.transaction(async (session) => {
    const withdrawals = await recordWithdrawals(session, outcomes, core.timing.stuckAfterAttempts)
    const tasks = await findTasks(session, [...new Set(withdrawals.map(({ grant }) => grant.taskId))])
    await recordEvents(
      session,
      withdrawals.flatMap((withdrawal) => eventsOf(withdrawal, tasks.get(withdrawal.grant.taskId), origin)),
    )
    const touched = withdrawals
      .filter(({ accessEndedNow }) => accessEndedNow)
      .map(({ grant }) => grant.taskId)
    const finished = await finishTasks(session, [...new Set(touched)])
    await recordEvents(
      session,
      finished.map((task) => taskEvent('task.ended', origin, task, { reason: task.endReason ?? undefined })),
    )
    return withdrawals
  })
  for (const withdrawal of recorded) measure(core, withdrawal)
  const count = (is: (withdrawal: RecordedWithdrawal) => boolean): number => recorded.filter(is).length
  return {
    accessEnded: count(({ accessEndedNow }) => accessEndedNow),
    removed: count(({ removedNow }) => removedNow),
    residue: count(({ grant }) => grant.state === 'revoked' && grant.residue !== null),
    failed: count(({ grant }) => grant.lastError !== null),
  }
}

function eventsOf(withdrawal: RecordedWithdrawal, task: Task | undefined, origin: Origin): AuditEvent[] {
  const { grant, accessEndedNow, removedNow, stuckNow, deferredNow } = withdrawal
  if (task === undefined) return []
  const reason = 'revokeReason' in grant ? grant.revokeReason : undefined
  const error = grant.lastError ?? undefined
  const residue = grant.state === 'revoked' ? grant.residue : null
  const events: AuditEvent[] = []
  if (accessEndedNow) {
    const detail = residue === null ? {} : { residue }
    events.push(grantEvent('grant.access_ended', origin, task, grant, { reason, detail }))
  }
  if (removedNow) events.push(grantEvent('grant.removed', origin, task, grant, { reason }))
  if (error !== undefined) {
    const detail = { attempts: grant.attempts }
    events.push(grantEvent('grant.revoke_failed', origin, task, grant, { reason, error, detail }))
  }
  if (deferredNow && grant.state === 'revoking') {
    const detail = { until: grant.deferredUntil?.toISOString() ?? null }
    events.push(grantEvent('grant.revoke_deferred', origin, task, grant, { reason, detail }))
  }
  if (stuckNow) events.push(grantEvent('grant.stuck', origin, task, grant, { reason, error }))
  return events
}

function measure(
  core: Core,
  { grant, accessEndedNow, stuckNow, secondsUntilAccessEnded }: RecordedWithdrawal,
): void {
  const { resource } = grant
  if (accessEndedNow && grant.state === 'revoked') {
    core.metrics.accessEnded.inc({ resource, reason: grant.revokeReason })
    if (secondsUntilAccessEnded !== null)
      core.metrics.accessEndedSeconds.observe({ resource }, secondsUntilAccessEnded)
  }
  if (grant.lastError !== null) core.metrics.withdrawalsFailed.inc({ resource })
  if (stuckNow) {
    core.logger.error(
      { grantId: grant.id, taskId: grant.taskId, resource, reason: grant.lastError },
      'grant is stuck',
    )
  }
}
