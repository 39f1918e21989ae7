import { AdapterError } from '../../broker/adapter.ts'
import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { quoteIdentifier, quoteLiteral } from './quote.ts'
import type { Server } from './server.ts'
import type { Access } from './settings.ts'

const OLDEST = 140_000
/** Before, a role may grant itself, and so stand in the way of who wants to become its member. */
const NO_SELF_GRANTS = 150_000
const OPTIONS_OF_MEMBERSHIP = 160_000
const MAX_CLOCK_OFFSET_MS = 60_000

interface ServerFacts {
  readonly version: number
  readonly isStandby: boolean
  readonly isSuper: boolean
  readonly mayCreateRoles: boolean
  readonly maySignal: boolean
  readonly nowMs: number
  readonly acceptsLogins: boolean | null
}

interface RoleFacts {
  readonly name: string
  readonly exists: boolean
  readonly mayGrant: boolean
  readonly mayHandOver: boolean
  readonly mayConnect: boolean
  /** A role through which a user could make what outlives it. */
  readonly power: string | null
}

/** Can we do our whole job there? @throws {AdapterError} whose message says what is missing, with the SQL for it */
export async function checkServer(
  connections: Connections,
  server: Server,
  accesses: readonly Access[],
  bounds: Bounds,
): Promise<void> {
  const sentMs = Date.now()
  const [facts] = await connections.withdraw<Mutable<ServerFacts>>(serverFacts(server), bounds)
  if (facts === undefined) throw failed(['the server does not know its administrator'])
  const offsetMs = facts.nowMs - (sentMs + Date.now()) / 2
  if (facts.version < OLDEST) {
    throw failed([`the server runs PostgreSQL ${Math.floor(facts.version / 10_000)}; 14 or newer is needed`])
  }
  const memberOf = [...new Set(accesses.flatMap((access) => access.memberOf))]
  const owners = [...new Set(accesses.map((access) => access.owner ?? access.memberOf[0] ?? ''))]
  const names = [...new Set([...memberOf, ...owners])]
  const roles = await connections.withdraw<Mutable<RoleFacts>>(roleFacts(names, server), bounds)
  const flaws = [
    ...flawsOfServer(facts, server, offsetMs),
    ...roles.flatMap((role) =>
      flawsOfRole(role, facts, server, {
        isGranted: memberOf.includes(role.name),
        isHeir: owners.includes(role.name),
      }),
    ),
  ]
  if (flaws.length > 0) throw failed(flaws)
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

function serverFacts({ agentDatabase }: Server): string {
  return `
    select current_setting('server_version_num')::int as version, pg_is_in_recovery() as "isStandby",
      rolsuper as "isSuper", rolcreaterole as "mayCreateRoles",
      pg_has_role(current_user, 'pg_signal_backend', 'usage') as "maySignal",
      (extract(epoch from clock_timestamp()) * 1000)::float8 as "nowMs",
      (select datallowconn from pg_database where datname = ${quoteLiteral(agentDatabase)}) as "acceptsLogins"
    from pg_roles where rolname = current_user`
}

function roleFacts(names: readonly string[], { agentDatabase }: Server): string {
  return `
    select asked.name, r.oid is not null as exists,
      coalesce(pg_has_role(current_user, r.oid, 'member with admin option'), false) as "mayGrant",
      coalesce(
        pg_has_role(current_user, r.oid, 'usage') and pg_has_role(current_user, r.oid, set_privilege), false
      ) as "mayHandOver",
      coalesce((
        select has_database_privilege(r.oid, d.oid, 'connect') from pg_database as d
        where d.datname = ${quoteLiteral(agentDatabase)}
      ), true) as "mayConnect",
      (
        select p.rolname::text from pg_roles as p
        where (p.rolsuper or p.rolcreaterole or p.rolname in ('pg_execute_server_program', 'pg_write_server_files'))
          and pg_has_role(r.oid, p.oid, 'member')
        order by p.oid <> r.oid, p.rolname limit 1
      ) as power
    from unnest(array[${names.map(quoteLiteral).join(', ')}]::text[]) as asked (name)
      left join pg_roles as r on r.rolname = asked.name,
      lateral (
        select case when current_setting('server_version_num')::int >= ${OPTIONS_OF_MEMBERSHIP} then 'set' else 'member' end
      ) as version (set_privilege)`
}

function flawsOfServer(facts: ServerFacts, server: Server, offsetMs: number): string[] {
  const admin = quoteIdentifier(server.user)
  const database = quoteIdentifier(server.agentDatabase)
  const flaws: string[] = []
  if (facts.isStandby) flaws.push('the server is a standby, which takes no changes: name the primary')
  if (Math.abs(offsetMs) > MAX_CLOCK_OFFSET_MS) {
    const seconds = Math.round(Math.abs(offsetMs) / 1000)
    const way = offsetMs > 0 ? 'ahead of' : 'behind'
    flaws.push(`the clock of the server is ${seconds} s ${way} ours: users would end at the wrong time`)
  }
  if (!facts.isSuper && !facts.mayCreateRoles) {
    flaws.push(`the administrator may not create users: alter role ${admin} createrole`)
  }
  if (facts.version < NO_SELF_GRANTS && !facts.maySignal) {
    flaws.push(`the administrator may not end every session of a user: grant pg_signal_backend to ${admin}`)
  }
  if (facts.acceptsLogins === null) flaws.push(`the database does not exist: create database ${database}`)
  if (facts.acceptsLogins === false) {
    flaws.push(`the database takes no connections: alter database ${database} allow_connections true`)
  }
  return flaws
}

function flawsOfRole(
  role: RoleFacts,
  { isSuper, version }: ServerFacts,
  server: Server,
  { isGranted, isHeir }: { isGranted: boolean; isHeir: boolean },
): string[] {
  const [name, admin] = [quoteIdentifier(role.name), quoteIdentifier(server.user)]
  if (!role.exists) return [`role ${name} does not exist: create role ${name} nologin`]
  const flaws: string[] = []
  // Up to PostgreSQL 15, createrole is enough to grant any role.
  if (isGranted && !isSuper && !role.mayGrant && version >= OPTIONS_OF_MEMBERSHIP) {
    flaws.push(`the administrator may not grant ${name}: grant ${name} to ${admin} with admin option`)
  } else if (isHeir && !isSuper && !role.mayHandOver) {
    const options = version >= OPTIONS_OF_MEMBERSHIP ? ' with inherit true, set true' : ''
    const way = version >= OPTIONS_OF_MEMBERSHIP ? '' : `; alter role ${admin} inherit`
    flaws.push(
      `the administrator may not hand objects over to ${name}: grant ${name} to ${admin}${options}${way}`,
    )
  }
  if (isGranted && !role.mayConnect) {
    const database = quoteIdentifier(server.agentDatabase)
    flaws.push(`role ${name} may not connect: grant connect on database ${database} to ${name}`)
  }
  if ((isGranted || isHeir) && role.power !== null) {
    const through = role.power === role.name ? '' : ` through ${quoteIdentifier(role.power)}`
    flaws.push(
      `role ${name} may make what outlives a grant${through}: a role for users must be no superuser, ` +
        'and may neither create roles nor run programs or write files on the server',
    )
  }
  return flaws
}

function failed(flaws: readonly string[]): AdapterError {
  return new AdapterError('failed', flaws.join('; '), { settled: true })
}
