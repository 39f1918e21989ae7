import type { ClientBase } from 'pg'
import { AdapterError } from '../../broker/adapter.ts'
import { quoteIdentifier } from './quote.ts'
import { serverVersion } from './roles.ts'
import type { Access } from './settings.ts'

const OLDEST = 140_000
const MAX_CLOCK_OFFSET_MS = 60_000

/** Can we do our whole job there? @throws {AdapterError} whose message names the way out */
export async function checkServer(client: ClientBase, accesses: Iterable<Access>): Promise<void> {
  const version = await serverVersion(client)
  if (version < OLDEST)
    throw failed(`the backend runs PostgreSQL ${Math.floor(version / 10_000)}; 14 or newer is needed`)
  const sentMs = Date.now()
  const facts = await client.query<{ me: string; super: boolean; createrole: boolean; now: Date }>(
    `select rolname as me, rolsuper as super, rolcreaterole as createrole, clock_timestamp() as now
     from pg_roles where rolname = current_user`,
  )
  const { me = '', super: isSuper, createrole, now } = facts.rows[0] ?? {}
  const offsetMs = (now?.getTime() ?? 0) - (sentMs + Date.now()) / 2
  if (Math.abs(offsetMs) > MAX_CLOCK_OFFSET_MS) {
    throw failed(
      `the clock of the backend differs by ${Math.round(offsetMs / 1000)} s; users would end at the wrong time`,
    )
  }
  if (isSuper === true) return
  if (createrole !== true)
    throw failed(`the administrator cannot create users: alter role ${quoteIdentifier(me)} createrole`)
  const needed = new Set(
    [...accesses].flatMap(({ memberOf, owner }) => [...memberOf, ...(owner === undefined ? [] : [owner])]),
  )
  const held = await client.query<{ role: string }>(
    `select r.rolname as role from pg_auth_members as m join pg_roles as r on r.oid = m.roleid
     join pg_roles as u on u.oid = m.member where u.rolname = current_user and m.admin_option`,
  )
  const missing = [...needed].filter((role) => !held.rows.some((row) => row.role === role))
  if (missing.length > 0) {
    const roles = missing.map(quoteIdentifier).join(', ')
    throw failed(
      `the administrator cannot hand out a role: grant ${roles} to ${quoteIdentifier(me)} with admin option`,
    )
  }
}

function failed(message: string): AdapterError {
  return new AdapterError('failed', message, { settled: true })
}
