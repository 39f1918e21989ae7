import { eventRows, recordedWith } from '../audit/audit-store.ts'
import type { AuditEvent } from '../audit/event.ts'
import type { Session } from '../db/database.ts'
import { run, type Statement } from '../db/query.ts'
import type { JsonObject } from '../json.ts'
import type { Grant, RevokeReason } from './grant.ts'
import { GRANT_COLUMNS, grantColumnsOf, toGrant, type GrantRow } from './grant-row.ts'

/** A grant that is about to be recorded: as `pending`, or as `active` if it was issued already. */
export interface NewGrant {
  readonly id: string
  readonly resource: string
  readonly access: string
  readonly adapter: string
  readonly handle: JsonObject
  readonly ttlSeconds: number
  /** When the credential ends, if it was issued without touching anything outside this process. */
  readonly issuedUntil?: Date
}

export function newGrantRows(grants: readonly NewGrant[]): string {
  return JSON.stringify(
    grants.map(({ ttlSeconds, issuedUntil, ...grant }) => ({
      ...grant,
      ttl_seconds: ttlSeconds,
      issued_until: issuedUntil,
    })),
  )
}

/**
 * A common table expression `planned` that inserts grants for the one row of `task` (columns `id`, `expires_at`). A
 * grant never outlives its task.
 */
export function plannedWith(task: string, grants: string, settleSeconds: string): string {
  return `planned as (
    insert into taskgrant.grants
      (id, task_id, resource, access, adapter, state, handle, issued_at, expires_at, settles_at, due_at)
    select p.id, ${task}.id, p.resource, p.access, p.adapter,
      case when p.issued_until is null then 'pending' else 'active' end, p.handle,
      case when p.issued_until is not null then now() end, until.moment, until.settled,
      coalesce(until.settled, until.moment)
    from ${task} cross join jsonb_to_recordset(${grants}::jsonb)
      as p (id uuid, resource text, access text, adapter text, handle jsonb, ttl_seconds double precision,
        issued_until timestamptz)
      cross join lateral (select
        least(${task}.expires_at, now() + make_interval(secs => p.ttl_seconds), p.issued_until) as moment,
        case when p.issued_until is null then now() + make_interval(secs => ${settleSeconds}) end as settled
      ) as until
    returning ${GRANT_COLUMNS}
  )`
}

const INSERT: Statement = {
  name: 'grants.insert',
  // The lock on the task makes an end that runs at the same time either see these grants or keep them out.
  text: `with task as (
      select id, expires_at from taskgrant.tasks where id = $1 and state = 'open' and expires_at > now() for share
    ), ${plannedWith('task', '$2', '$3')}, ${recordedWith('$4', 'exists (select from planned)')}
    select ${GRANT_COLUMNS} from planned`,
}

/** Records grants with their events, if the task is open. Answers none if it is not. */
export async function insertGrants(
  session: Session,
  taskId: string,
  grants: readonly NewGrant[],
  settleSeconds: number,
  events: readonly AuditEvent[],
): Promise<Grant[]> {
  const values = [taskId, newGrantRows(grants), settleSeconds, eventRows(events)]
  return (await run<GrantRow>(session, INSERT, values)).map(toGrant)
}

// The list of ids is given twice, as JSON and as an array: by an array, Postgres always goes through the index.
const ACTIVATE: Statement = {
  name: 'grants.activate',
  text: `with issued as (
      select * from jsonb_to_recordset($1::jsonb) as i (id uuid, expires_at timestamptz, handle jsonb)
    ), live as materialized (
      select g.id from taskgrant.grants as g
      where g.id = any($2::uuid[]) and g.state = 'pending' and g.expires_at > now()
        and (select t.state = 'open' and t.expires_at > now() from taskgrant.tasks as t where t.id = g.task_id)
      for update
    ), activated as (
      update taskgrant.grants as g
      set state = 'active', issued_at = now(), settles_at = null, handle = coalesce(i.handle, g.handle),
        expires_at = least(g.expires_at, i.expires_at), due_at = least(g.expires_at, i.expires_at)
      from issued as i
      where g.id = any($2::uuid[]) and g.id = i.id and (select count(*) from live) = cardinality($2::uuid[])
      returning ${grantColumnsOf('g')}
    ), ${recordedWith('$3', 'exists (select from activated where activated.id = e.grant_id)')}
    select ${GRANT_COLUMNS} from activated`,
}

/** What the backend answered to an issue. */
export interface IssuedGrant {
  readonly id: string
  readonly expiresAt: Date | undefined
  readonly handle: JsonObject | undefined
}

/**
 * Makes pending grants active with their events: all of them, or none if one is not pending any more or its task is
 * not open. Answers the active ones.
 */
export async function activateGrants(
  session: Session,
  issued: readonly IssuedGrant[],
  events: readonly AuditEvent[],
): Promise<Grant[]> {
  const rows = issued.map(({ id, expiresAt, handle }) => ({ id, expires_at: expiresAt, handle }))
  const ids = issued.map(({ id }) => id)
  return (await run<GrantRow>(session, ACTIVATE, [JSON.stringify(rows), ids, eventRows(events)])).map(toGrant)
}

const START_WITHDRAWAL = `update taskgrant.grants
  set state = 'revoking', revoke_reason = $2, revoking_at = now(), attempts = 0,
    due_at = now() + make_interval(secs => $3)`

const WITHDRAW_OF_TASKS: Statement = {
  name: 'grants.withdraw-of-tasks',
  text: `${START_WITHDRAWAL} where task_id = any($1::uuid[]) and state in ('pending', 'active')
    returning ${GRANT_COLUMNS}`,
}

/**
 * Takes all live grants of these tasks into `revoking`. They are due in `leaseSeconds`: 0 leaves them to the
 * reaper, more keeps it away while the caller withdraws them.
 */
export async function startWithdrawalOfTasks(
  session: Session,
  taskIds: readonly string[],
  reason: RevokeReason,
  leaseSeconds: number,
): Promise<Grant[]> {
  return (await run<GrantRow>(session, WITHDRAW_OF_TASKS, [taskIds, reason, leaseSeconds])).map(toGrant)
}

const WITHDRAW_BY_ID: Statement = {
  text: `${START_WITHDRAWAL} where id = any($1::uuid[]) and state in ('pending', 'active') returning ${GRANT_COLUMNS}`,
}

/** The same for single grants; those that are withdrawn already are left out of the answer. */
export async function startWithdrawal(
  session: Session,
  grantIds: readonly string[],
  reason: RevokeReason,
  leaseSeconds: number,
): Promise<Grant[]> {
  return (await run<GrantRow>(session, WITHDRAW_BY_ID, [grantIds, reason, leaseSeconds])).map(toGrant)
}

const WITHDRAW_OF_RESOURCE: Statement = {
  text: `with chosen as (
      select id from taskgrant.grants where resource = $1 and state in ('pending', 'active')
      order by id limit $4 for update
    )
    ${START_WITHDRAWAL.replace('taskgrant.grants', 'taskgrant.grants as g')}
    where g.id = any(array(select id from chosen)) returning ${grantColumnsOf('g')}`,
}

/** Takes up to `limit` live grants of a resource into `revoking`, due at once. */
export async function startWithdrawalOfResource(
  session: Session,
  resource: string,
  reason: RevokeReason,
  limit: number,
): Promise<Grant[]> {
  return (await run<GrantRow>(session, WITHDRAW_OF_RESOURCE, [resource, reason, 0, limit])).map(toGrant)
}

const CLAIM_DUE: Statement = {
  name: 'grants.claim-due',
  text: `with due as (
      select id from taskgrant.grants where resource = $1 and due_at <= now()
      order by due_at limit $2 for update skip locked
    )
    update taskgrant.grants as g
    set state = case when g.state = 'revoked' then 'revoked' else 'revoking' end,
      revoke_reason = coalesce(g.revoke_reason, case g.state when 'pending' then 'stale' else 'expired' end),
      revoking_at = coalesce(g.revoking_at, case g.state when 'pending' then now() else g.expires_at end),
      due_at = now() + make_interval(secs => $3)
    where g.id = any(array(select id from due))
    returning ${grantColumnsOf('g')}`,
}

/**
 * Claims what is due on a resource: expired, stale, failed before, or left over. Nobody else claims it for
 * `leaseSeconds`; if this process dies, it is due again then.
 */
export async function claimDueGrants(
  session: Session,
  resource: string,
  limit: number,
  leaseSeconds: number,
): Promise<Grant[]> {
  return (await run<GrantRow>(session, CLAIM_DUE, [resource, limit, leaseSeconds])).map(toGrant)
}

const EXTEND: Statement = {
  text: `with before as materialized (
      select id, task_id, expires_at from taskgrant.grants
      where id = $1 and state = 'active' and expires_at > now() for update
    ), until as (
      select before.id, before.expires_at as previous,
        greatest(before.expires_at, least(t.expires_at, now() + make_interval(secs => $2))) as moment
      from before join taskgrant.tasks as t on t.id = before.task_id
      where t.id = (select task_id from before) and t.state = 'open' and t.expires_at > now()
    )
    update taskgrant.grants as g set expires_at = until.moment, due_at = until.moment
    from until where g.id = $1 and g.id = until.id
    returning ${grantColumnsOf('g')}, until.previous`,
}

export interface Extended {
  readonly grant: Grant
  /** When it was to end before. */
  readonly previous: Date
}

/**
 * Moves the end of an active grant of an open task to `ttlSeconds` from now, never nearer. Answers nothing if it is
 * neither.
 */
export async function extendGrant(
  session: Session,
  grantId: string,
  ttlSeconds: number,
): Promise<Extended | undefined> {
  const [row] = await run<GrantRow & { previous: Date }>(session, EXTEND, [grantId, ttlSeconds])
  return row === undefined ? undefined : { grant: toGrant(row), previous: row.previous }
}

const RESTORE_EXPIRY: Statement = {
  text: `update taskgrant.grants set expires_at = $3, due_at = $3
    where id = $1 and state = 'active' and expires_at = $2 returning ${GRANT_COLUMNS}`,
}

/** Takes an extension back, unless the grant's end has been moved since. */
export async function restoreExpiry(session: Session, grantId: string, from: Date, to: Date): Promise<void> {
  await run(session, RESTORE_EXPIRY, [grantId, from, to])
}

const FIND: Statement = {
  name: 'grants.find',
  text: `select ${GRANT_COLUMNS} from taskgrant.grants where id = $1`,
}

export async function findGrant(session: Session, id: string): Promise<Grant | undefined> {
  const [row] = await run<GrantRow>(session, FIND, [id])
  return row === undefined ? undefined : toGrant(row)
}

const OF_TASK: Statement = {
  name: 'grants.of-task',
  text: `select ${GRANT_COLUMNS} from taskgrant.grants where task_id = $1 order by id limit $2`,
}

export async function grantsOfTask(session: Session, taskId: string, limit: number): Promise<Grant[]> {
  return (await run<GrantRow>(session, OF_TASK, [taskId, limit])).map(toGrant)
}
