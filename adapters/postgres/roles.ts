import type { ClientBase } from 'pg'

/** A role of ours that exists, and what stands between it and a plain `drop role`. */
export interface FoundRole {
  readonly oid: string
  readonly name: string
  /** Sessions, dependencies, members or prepared transactions: it was used, or is being used. */
  readonly busy: boolean
}

const INSPECT = `
  select r.oid::text as oid, r.rolname as name,
    exists (select from pg_stat_activity as a where a.usesysid = r.oid)
    or exists (select from pg_auth_members as m where m.roleid = r.oid)
    or exists (select from pg_prepared_xacts as p where p.owner = r.rolname)
    or exists (
      select from pg_shdepend as d
      where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.classid <> 'pg_auth_members'::regclass
    ) as busy
  from pg_roles as r where r.rolname = any($1::text[])`

/**
 * PostgreSQL 16+ makes the administrator a member of every role it creates, without using it (`inherit_option` and
 * `set_option` false): that is no member to worry about.
 */
const INSPECT_16 = INSPECT.replace(
  'm.roleid = r.oid)',
  'm.roleid = r.oid and (m.inherit_option or m.set_option or m.member <> (select oid from pg_roles where rolname = current_user)))',
)

export async function inspectRoles(client: ClientBase, names: readonly string[]): Promise<FoundRole[]> {
  const version = await serverVersion(client)
  const result = await client.query<FoundRole>(version >= 160_000 ? INSPECT_16 : INSPECT, [names])
  return result.rows
}

const versions = new WeakMap<ClientBase, number>()

export async function serverVersion(client: ClientBase): Promise<number> {
  const known = versions.get(client)
  if (known !== undefined) return known
  const result = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::integer as version`,
  )
  const version = result.rows[0]?.version ?? 0
  versions.set(client, version)
  return version
}

const SESSIONS = `
  select pg_terminate_backend(pid) as told from pg_stat_activity where usesysid = any($1::oid[])`

/** Tells all sessions of these roles to end, and answers how many there were. Roles may be gone already. */
export async function terminateSessions(client: ClientBase, oids: readonly string[]): Promise<number> {
  const result = await client.query(SESSIONS, [oids])
  return result.rowCount ?? 0
}
