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
    // The functions below the views: that these join names costs more than all else here.
    `select r.oid
     from unnest(${quoteOids(oidsOf(roles))}) as r (oid)
     where r.oid <> all (array(select usesysid from pg_stat_get_activity(null) where usesysid is not null))
       and r.oid <> all (array(select ownerid from pg_prepared_xact()))
       and not exists (
         select from pg_shdepend as d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
       )
       and cardinality(array(${STARTING_BACKENDS})) = 0`,
    bounds,
  )
  const idle = new Set(rows.map(({ oid }) => oid))
  return roles.filter(({ oid }) => idle.has(oid))
}
