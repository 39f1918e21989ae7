import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { STARTING_BACKENDS } from './end-sessions.ts'
import { ServerError } from './failure.ts'
import { quoteIdentifier, quoteOids } from './quote.ts'
import { chunksOf, oidsOf, type Role } from './role.ts'

/** Every role takes one of the server's locks until the statement commits. */
const CHUNK = 100
const LOCK_TIMEOUT_MS = 200

/**
 * Drops those of some closed roles that nobody uses and nothing depends on, many in one statement: the usual end of a
 * grant. Gives those that are gone; if something hinders a statement, its roles are left for the long way.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function dropIdle(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<readonly Role[]> {
  const gone: Role[] = []
  for (const chunk of chunksOf(await findIdle(connections, roles, bounds), CHUNK)) {
    const names = chunk.map(({ name }) => quoteIdentifier(name)).join(', ')
    try {
      await connections.withdraw(`drop role if exists ${names}`, bounds, { lockTimeoutMs: LOCK_TIMEOUT_MS })
      gone.push(...chunk)
    } catch (error) {
      if (!(error instanceof ServerError && error.isRefusal)) throw error
    }
  }
  return gone
}

/** None while any backend is starting: it could be a login that was allowed before its role was closed. */
async function findIdle(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<readonly Role[]> {
  if (roles.length === 0) return []
  const rows = await connections.withdraw<{ oid: number }>(
    `select r.oid from pg_roles as r
     where r.oid = any (${quoteOids(oidsOf(roles))})
       and not exists (${STARTING_BACKENDS})
       and not exists (select from pg_stat_activity as a where a.usesysid = r.oid)
       and not exists (select from pg_prepared_xacts as p where p.owner = r.rolname)
       and not exists (
         select from pg_shdepend as d
         where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid)`,
    bounds,
  )
  const idle = new Set(rows.map(({ oid }) => oid))
  return roles.filter(({ oid }) => idle.has(oid))
}
