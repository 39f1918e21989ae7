import type { Session } from '../db/database.ts'
import { filtered, run, type Statement } from '../db/query.ts'
import type { Grant, GrantState } from './grant.ts'
import { GRANT_COLUMNS, grantColumnsOf, toGrant, type GrantRow } from './grant-row.ts'

export interface GrantFilter {
  readonly state?: GrantState | undefined
  readonly resource?: string | undefined
  readonly workload?: string | undefined
  readonly stuck?: boolean | undefined
  readonly residue?: boolean | undefined
  /** Only grants of tasks of this workload, whoever asks. */
  readonly owner?: { readonly id: string; readonly issuer: string } | undefined
}

/** Newest first; `after` is the id of the last one seen. */
export async function listGrants(
  session: Session,
  filter: GrantFilter,
  after: string | undefined,
  limit: number,
): Promise<Grant[]> {
  const { state, resource, workload, stuck, residue, owner } = filter
  const { where, values } = filtered([
    ['g.id < ?', after],
    ['g.state = ?', state],
    ['g.resource = ?', resource],
    ['t.workload_id = ?', workload],
    ['g.stuck = ?', stuck],
    ['(g.residue is not null) = ?', residue],
    ['t.workload_id = ?', owner?.id],
    ['t.workload_issuer = ?', owner?.issuer],
  ])
  const text = `select ${grantColumnsOf('g')}
    from taskgrant.grants as g join taskgrant.tasks as t on t.id = g.task_id
    where ${where} order by g.id desc limit $${values.length + 1}`
  return (await run<GrantRow>(session, { text }, [...values, limit])).map(toGrant)
}

const LIVE_PER_RESOURCE: Statement = {
  text: `select resource, access, count(*)::integer as grants from taskgrant.grants
    where due_at is not null group by resource, access order by resource, access`,
}

export interface LiveCount {
  readonly resource: string
  readonly access: string
  readonly grants: number
}

/** How many grants still need their backend, by resource and access. */
export async function countLiveGrants(session: Session): Promise<LiveCount[]> {
  return run<{ resource: string; access: string; grants: number }>(session, LIVE_PER_RESOURCE)
}

const UNFINISHED: Statement = {
  text: `select id from taskgrant.grants where id = any($1::uuid[]) and state <> 'revoked'`,
}

/** Which of these grants may still open something. */
export async function unfinishedGrants(session: Session, grantIds: readonly string[]): Promise<string[]> {
  return (await run<{ id: string }>(session, UNFINISHED, [grantIds])).map(({ id }) => id)
}

const LASTING: Statement = {
  text: `select max(deferred_until) as until from taskgrant.grants where id = any($1::uuid[]) and state = 'revoking'`,
}

/** Until when some of these grants last, though they are withdrawn; undefined if none is of that kind. */
export async function lastingUntil(session: Session, grantIds: readonly string[]): Promise<Date | undefined> {
  const [row] = await run<{ until: Date | null }>(session, LASTING, [grantIds])
  return row?.until ?? undefined
}

const OUTSTANDING: Statement = {
  text: `select ${GRANT_COLUMNS} from taskgrant.grants
    where task_id = $1 and state <> 'revoked' order by id limit $2`,
}

/** The grants of a task that may still open something. */
export async function outstandingGrants(session: Session, taskId: string, limit: number): Promise<Grant[]> {
  return (await run<GrantRow>(session, OUTSTANDING, [taskId, limit])).map(toGrant)
}

/** Whose grants are counted: of a workload, of a user, of a resource, or all. */
export interface LiveFilter {
  readonly workload?: string | undefined
  readonly onBehalfOf?: string | undefined
  readonly resource?: string | undefined
}

/** How many grants that were asked for before `moment` may still open something, whoever withdraws them. */
export async function countOutstanding(session: Session, filter: LiveFilter, moment: Date): Promise<number> {
  const { where, values } = filtered([
    ['g.requested_at <= ?', moment],
    ['t.workload_id = ?', filter.workload],
    [`t.on_behalf_of ->> 'id' = ?`, filter.onBehalfOf],
    ['g.resource = ?', filter.resource],
  ])
  const text = `select count(*)::integer as grants
    from taskgrant.grants as g join taskgrant.tasks as t on t.id = g.task_id
    where g.state <> 'revoked' and ${where}`
  const [row] = await run<{ grants: number }>(session, { text }, values)
  return row?.grants ?? 0
}

const NOW: Statement = { text: 'select now() as now' }

/** The one clock that decides. */
export async function storeNow(session: Session): Promise<Date> {
  const [row] = await run<{ now: Date }>(session, NOW)
  return row?.now ?? new Date()
}

const OWNED: Statement = {
  text: `select id from taskgrant.grants where id = any($1::uuid[]) and due_at is not null`,
}

/** Which of these grants still own what carries their name on a backend. */
export async function ownedGrants(
  session: Session,
  grantIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await run<{ id: string }>(session, OWNED, [grantIds])
  return new Set(rows.map((row) => row.id))
}

const TROUBLES: Statement = {
  text: `select resource, sum(overdue)::integer as overdue, sum(stuck)::integer as stuck, sum(residue)::integer as residue
    from (
      select resource, 1 as overdue, 0 as stuck, 0 as residue from taskgrant.grants
      where resource = any($1::text[]) and due_at <= now() and state in ('pending', 'active')
      union all
      select resource, 1, stuck::integer, 0 from taskgrant.grants
      where state = 'revoking' and coalesce(deferred_until <= now(), true)
      union all
      select resource, 0, 0, 1 from taskgrant.grants where residue is not null
    ) as trouble
    group by resource order by resource`,
}

export interface Troubles {
  readonly resource: string
  /** Access should have ended and has not. */
  readonly overdue: number
  readonly stuck: number
  readonly residue: number
}

/** What a person should know about, by resource; resources without trouble are left out. */
export async function countTroubles(session: Session, resources: Iterable<string>): Promise<Troubles[]> {
  return run<{ resource: string; overdue: number; stuck: number; residue: number }>(session, TROUBLES, [
    [...resources],
  ])
}
