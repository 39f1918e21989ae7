import type { Session } from '../db/database.ts'
import { filtered, run, type Statement } from '../db/query.ts'
import type { AuditEvent, EventType, RecordedEvent } from './event.ts'

const COLUMNS = `type, action, decision, policies, policy_set, workload, on_behalf_of, actors, performed_by, task_id,
  purpose, labels, grant_id, resource, access, adapter, handle, reason, error, request_id, trace_id, detail`

/**
 * A common table expression `recorded` that inserts the events given as JSON in parameter `parameter`, for use in
 * the statement of what they describe. `condition` may refer to an event as `e`.
 */
export function recordedWith(parameter: string, condition = 'true'): string {
  return `recorded as (
    insert into taskgrant.audit_events (${COLUMNS})
    select ${COLUMNS}
    from jsonb_populate_recordset(null::taskgrant.audit_events, ${parameter}::jsonb) as e
    where ${condition}
  )`
}

const INSERT_EVENTS: Statement = {
  name: 'audit.insert',
  text: `with ${recordedWith('$1')} select`,
}

/** Events as the parameter of {@link recordedWith}. */
export function eventRows(events: readonly AuditEvent[]): string {
  return JSON.stringify(
    events.map((event) => ({
      type: event.type,
      action: event.action,
      decision: event.decision,
      policies: event.policies,
      policy_set: event.policySet,
      workload: event.workload,
      on_behalf_of: event.onBehalfOf,
      actors: event.actors,
      performed_by: event.performedBy,
      task_id: event.taskId,
      purpose: event.purpose,
      labels: event.labels,
      grant_id: event.grantId,
      resource: event.resource,
      access: event.access,
      adapter: event.adapter,
      handle: event.handle,
      reason: event.reason,
      error: event.error,
      request_id: event.requestId,
      trace_id: event.traceId,
      detail: event.detail,
    })),
  )
}

export async function recordEvents(session: Session, events: readonly AuditEvent[]): Promise<void> {
  if (events.length > 0) await run(session, INSERT_EVENTS, [eventRows(events)])
}

export interface EventFilter {
  readonly taskId?: string | undefined
  readonly grantId?: string | undefined
  readonly workload?: string | undefined
  readonly onBehalfOf?: string | undefined
  readonly resource?: string | undefined
  readonly type?: EventType | undefined
  readonly since?: Date | undefined
  readonly until?: Date | undefined
}

// Named apart from their columns, so that `order by` goes by number, not by text.
const EVENT = `select id::text as event_id, seq::text as event_seq, occurred_at, ${COLUMNS} from taskgrant.audit_events`

const LIST_TRAIL: Statement = {
  text: `${EVENT} where task_id = $1 and id > $2::bigint order by id limit $3`,
}

interface EventRow {
  event_id: string
  event_seq: string | null
  occurred_at: Date
  type: EventType
  [column: string]: unknown
}

/** Events in the one order that readers follow, after place `after`. */
export async function listEvents(
  session: Session,
  filter: EventFilter,
  after: number,
  limit: number,
): Promise<RecordedEvent[]> {
  const { where, values } = filtered([
    ['task_id = ?', filter.taskId],
    ['grant_id = ?', filter.grantId],
    [`workload ->> 'id' = ?`, filter.workload],
    [`on_behalf_of ->> 'id' = ?`, filter.onBehalfOf],
    ['resource = ?', filter.resource],
    ['type = ?', filter.type],
    ['occurred_at >= ?', filter.since],
    ['occurred_at < ?', filter.until],
    ['seq > ?', after],
  ])
  const text = `${EVENT} where ${where} order by seq limit $${values.length + 1}`
  const rows = await run<EventRow>(session, { text }, [...values, limit])
  return rows.map(toEvent)
}

/** The trail of one task in the order in which it was written. `after` is the id of an event. */
export async function listTrail(
  session: Session,
  taskId: string,
  after: number,
  limit: number,
): Promise<RecordedEvent[]> {
  const rows = await run<EventRow>(session, LIST_TRAIL, [taskId, after, limit])
  return rows.map(toEvent)
}

function toEvent(row: EventRow): RecordedEvent {
  // The columns are those of AuditEvent in snake case, written by eventRows.
  return {
    id: Number(row.event_id),
    seq: row.event_seq === null ? null : Number(row.event_seq),
    occurredAt: row.occurred_at.toISOString(),
    type: row.type,
    action: row['action'],
    decision: row['decision'],
    policies: row['policies'],
    policySet: row['policy_set'],
    workload: row['workload'],
    onBehalfOf: row['on_behalf_of'],
    actors: row['actors'],
    performedBy: row['performed_by'],
    taskId: row['task_id'],
    purpose: row['purpose'],
    labels: row['labels'],
    grantId: row['grant_id'],
    resource: row['resource'],
    access: row['access'],
    adapter: row['adapter'],
    handle: row['handle'],
    reason: row['reason'],
    error: row['error'],
    requestId: row['request_id'],
    traceId: row['trace_id'],
    detail: row['detail'],
  } as RecordedEvent
}

const LOCK_SEQUENCE: Statement = {
  text: `select pg_try_advisory_xact_lock(hashtext('taskgrant.audit.seq')) as mine`,
}

const GIVE_PLACES: Statement = {
  text: `with top as (
      select coalesce((select seq from taskgrant.audit_events where seq is not null order by seq desc limit 1), 0) as seq
    ), next as materialized (
      select id, row_number() over (order by id) as place
      from (select id from taskgrant.audit_events where seq is null order by id limit $1) as unplaced
    ), placed as (
      update taskgrant.audit_events as e set seq = top.seq + next.place
      from next, top where e.id = any(array(select id from next)) and e.id = next.id returning 1
    )
    select count(*)::integer as placed from placed`,
}

/**
 * Gives committed events their places in the one order. One broker at a time does it; the others see the lock and
 * leave. Answers how many were placed.
 */
export async function placeEvents(session: Session, limit: number): Promise<number> {
  const [lock] = await run<{ mine: boolean }>(session, LOCK_SEQUENCE)
  if (lock?.mine !== true) return 0
  const [row] = await run<{ placed: number }>(session, GIVE_PLACES, [limit])
  return row?.placed ?? 0
}
