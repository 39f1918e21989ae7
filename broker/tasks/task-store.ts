import { eventRows, recordedWith } from '../audit/audit-store.ts'
import type { AuditEvent } from '../audit/event.ts'
import type { Session } from '../db/database.ts'
import { filtered, run, type Statement } from '../db/query.ts'
import type { Grant } from '../grants/grant.ts'
import { toGrant, type GrantRow } from '../grants/grant-row.ts'
import { newGrantRows, plannedWith, type NewGrant } from '../grants/grant-store.ts'
import type { Actor, User } from '../identity/workload.ts'
import type { EndReason, Owner, Task, TaskState } from './task.ts'

const TASK_COLUMNS = `id, key, purpose, state, workload_id, workload_issuer, workload_subject, on_behalf_of, actors,
  labels, parent_task_id, created_at, expires_at, ended_at, end_reason`

interface TaskRow {
  id: string
  key: string | null
  purpose: string
  state: TaskState
  workload_id: string
  workload_issuer: string
  workload_subject: string
  on_behalf_of: User | null
  actors: readonly Actor[]
  labels: Readonly<Record<string, string>>
  parent_task_id: string | null
  created_at: Date
  expires_at: Date
  ended_at: Date | null
  end_reason: string | null
}

function toTask(row: TaskRow): Task {
  return {
    id: row.id,
    key: row.key,
    purpose: row.purpose,
    state: row.state,
    owner: { id: row.workload_id, issuer: row.workload_issuer, subject: row.workload_subject },
    onBehalfOf: row.on_behalf_of,
    actors: row.actors,
    labels: row.labels,
    parentTaskId: row.parent_task_id,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
    endReason: row.end_reason,
  }
}

/** A task that is about to be recorded as `open`. */
export interface NewTask {
  readonly id: string
  readonly key: string | null
  readonly purpose: string
  readonly owner: Owner
  readonly onBehalfOf: User | null
  readonly actors: readonly Actor[]
  readonly labels: Readonly<Record<string, string>>
  readonly parentTaskId: string | null
  readonly ttlSeconds: number
}

/** The index that holds "unique among its open tasks". */
export const OPEN_KEY_INDEX = 'tasks_open_key'

const OPEN: Statement = {
  name: 'tasks.open',
  text: `with task as (
      insert into taskgrant.tasks (id, key, purpose, state, workload_id, workload_issuer, workload_subject,
        on_behalf_of, actors, labels, parent_task_id, expires_at)
      values ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11))
      returning ${TASK_COLUMNS}
    ), ${plannedWith('task', '$12', '$13')}, ${recordedWith('$14')}
    select ${TASK_COLUMNS},
      (select coalesce(jsonb_agg(planned order by id), '[]') from planned) as planned
    from task`,
}

/**
 * Records a task as `open` together with its grants and the events of both, in one statement.
 *
 * @throws {BrokerError} caused by a violation of {@link OPEN_KEY_INDEX} if the key is taken
 */
export async function insertTask(
  session: Session,
  task: NewTask,
  grants: readonly NewGrant[],
  settleSeconds: number,
  events: readonly AuditEvent[],
): Promise<{ task: Task; grants: Grant[] }> {
  const [row] = await run<TaskRow & { planned: readonly JsonRow<GrantRow>[] }>(session, OPEN, [
    task.id,
    task.key,
    task.purpose,
    task.owner.id,
    task.owner.issuer,
    task.owner.subject,
    task.onBehalfOf === null ? null : JSON.stringify(task.onBehalfOf),
    JSON.stringify(task.actors),
    JSON.stringify(task.labels),
    task.parentTaskId,
    task.ttlSeconds,
    newGrantRows(grants),
    settleSeconds,
    eventRows(events),
  ])
  if (row === undefined) throw new Error('the insert of a task answered no row')
  return { task: toTask(row), grants: row.planned.map((planned) => toGrant(revived(planned))) }
}

/** A row that came as JSON: its times are strings. */
type JsonRow<Row> = {
  [Column in keyof Row]: Row[Column] extends Date
    ? string
    : Row[Column] extends Date | null
      ? string | null
      : Row[Column]
}

function revived(row: JsonRow<GrantRow>): GrantRow {
  // A grant that was recorded just now has these times and no other.
  return {
    ...row,
    requested_at: new Date(row.requested_at),
    issued_at: row.issued_at === null ? null : new Date(row.issued_at),
    expires_at: new Date(row.expires_at),
    revoked_at: null,
    removed_at: null,
    deferred_until: null,
  }
}

const FIND: Statement = {
  name: 'tasks.find',
  text: `select ${TASK_COLUMNS} from taskgrant.tasks where id = any($1::uuid[])`,
}

export async function findTasks(
  session: Session,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Task>> {
  const rows = await run<TaskRow>(session, FIND, [ids])
  return new Map(rows.map((row) => [row.id, toTask(row)]))
}

export async function findTask(session: Session, id: string): Promise<Task | undefined> {
  return (await findTasks(session, [id])).get(id)
}

const FIND_BY_KEY: Statement = {
  text: `select ${TASK_COLUMNS} from taskgrant.tasks
    where workload_issuer = $1 and workload_id = $2 and key = $3 and state = 'open'`,
}

/** The open task that holds this key of this workload. */
export async function findOpenTaskByKey(
  session: Session,
  owner: Owner,
  key: string,
): Promise<Task | undefined> {
  const [row] = await run<TaskRow>(session, FIND_BY_KEY, [owner.issuer, owner.id, key])
  return row === undefined ? undefined : toTask(row)
}

const LOCK_EXPIRED_HOLDER: Statement = {
  text: `select id from taskgrant.tasks
    where workload_issuer = $1 and workload_id = $2 and key = $3 and state = 'open' and expires_at <= now()
    for update`,
}

/** Locks the open task that holds this key, if its time is over. */
export async function lockExpiredHolder(
  session: Session,
  owner: Owner,
  key: string,
): Promise<string | undefined> {
  const [row] = await run<{ id: string }>(session, LOCK_EXPIRED_HOLDER, [owner.issuer, owner.id, key])
  return row?.id
}

const START_ENDING: Statement = {
  name: 'tasks.start-ending',
  text: `update taskgrant.tasks set state = 'ending', end_reason = $2
    where id = any($1::uuid[]) and state = 'open' returning ${TASK_COLUMNS}`,
}

/**
 * Takes open tasks into `ending` and answers those that were open. From its commit on, nothing is added to them.
 * Their grants must be taken along by a later statement of the same transaction, which then sees every grant that
 * was added before.
 */
export async function startEnding(
  session: Session,
  ids: readonly string[],
  reason: EndReason,
): Promise<Task[]> {
  return (await run<TaskRow>(session, START_ENDING, [ids, reason])).map(toTask)
}

export interface OpenTaskFilter {
  readonly workload?: string | undefined
  readonly onBehalfOf?: string | undefined
}

/** Locks up to `limit` open tasks of a workload, of a user, or of all. */
export async function chooseOpenTasks(
  session: Session,
  filter: OpenTaskFilter,
  limit: number,
): Promise<string[]> {
  const { where, values } = filtered([
    ['workload_id = ?', filter.workload],
    [`on_behalf_of ->> 'id' = ?`, filter.onBehalfOf],
  ])
  const text = `select id from taskgrant.tasks where state = 'open' and ${where}
    order by id limit $${values.length + 1} for update`
  const rows = await run<{ id: string }>(session, { text }, [...values, limit])
  return rows.map((row) => row.id)
}

const CHOOSE_EXPIRED: Statement = {
  name: 'tasks.choose-expired',
  text: `select id from taskgrant.tasks where state = 'open' and expires_at <= now()
    order by expires_at limit $1 for update skip locked`,
}

/** Locks up to `limit` open tasks whose time is over; others may work on the rest. */
export async function chooseExpiredTasks(session: Session, limit: number): Promise<string[]> {
  return (await run<{ id: string }>(session, CHOOSE_EXPIRED, [limit])).map((row) => row.id)
}

// A subquery with a limit is run per task, through the index; an anti-join might read all grants.
const NOTHING_LEFT = `
  (select g.id from taskgrant.grants as g where g.task_id = t.id and g.state <> 'revoked' limit 1) is null`

const CHOOSE_FINISHED: Statement = {
  text: `select t.id from taskgrant.tasks as t where t.state = 'ending'
      and ${NOTHING_LEFT}
    order by t.id limit $1`,
}

/** Ending tasks without a grant that could still open something. */
export async function chooseFinishedTasks(session: Session, limit: number): Promise<string[]> {
  return (await run<{ id: string }>(session, CHOOSE_FINISHED, [limit])).map((row) => row.id)
}

const LOCK_ENDING: Statement = {
  name: 'tasks.lock-ending',
  text: `select id from taskgrant.tasks where id = any($1::uuid[]) and state = 'ending' order by id for update`,
}

const FINISH: Statement = {
  name: 'tasks.finish',
  text: `update taskgrant.tasks as t set state = 'ended', ended_at = now()
    where t.id = any($1::uuid[]) and t.state = 'ending'
      and ${NOTHING_LEFT}
    returning ${TASK_COLUMNS}`,
}

/**
 * Ends those of these tasks whose grants have all lost their access, and answers them. Two withdrawals of the last
 * two grants of a task wait for each other here, so that the second one sees both.
 */
export async function finishTasks(session: Session, ids: readonly string[]): Promise<Task[]> {
  const locked = await run<{ id: string }>(session, LOCK_ENDING, [ids])
  if (locked.length === 0) return []
  return (await run<TaskRow>(session, FINISH, [locked.map((row) => row.id)])).map(toTask)
}

export interface TaskFilter {
  readonly state?: TaskState | undefined
  readonly workload?: string | undefined
  readonly onBehalfOf?: string | undefined
  readonly key?: string | undefined
  /** Only tasks of this workload, whoever asks. */
  readonly owner?: { readonly id: string; readonly issuer: string } | undefined
}

/** Newest first; `after` is the id of the last one seen. */
export async function listTasks(
  session: Session,
  filter: TaskFilter,
  after: string | undefined,
  limit: number,
): Promise<Task[]> {
  const { state, workload, onBehalfOf, key, owner } = filter
  const { where, values } = filtered([
    ['id < ?', after],
    ['state = ?', state],
    ['workload_id = ?', workload],
    [`on_behalf_of ->> 'id' = ?`, onBehalfOf],
    ['key = ?', key],
    ['workload_id = ?', owner?.id],
    ['workload_issuer = ?', owner?.issuer],
  ])
  const text = `select ${TASK_COLUMNS} from taskgrant.tasks where ${where} order by id desc limit $${values.length + 1}`
  return (await run<TaskRow>(session, { text }, [...values, limit])).map(toTask)
}
