import type { Found } from '../../broker/adapter.ts'
import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { grantIdOf, rolePrefix } from './handle.ts'
import { quoteLiteral } from './quote.ts'
import type { Server } from './server.ts'
import type { Access } from './settings.ts'

const PAGE = 500

interface Row {
  readonly role: string
  readonly memberOf: string[]
}

/** Every role of one store, page by page in the order of names. @throws {ServerError} */
export async function* listRoles(
  connections: Connections,
  server: Server,
  accesses: readonly Access[],
  storeId: string,
  bounds: Bounds,
): AsyncGenerator<Found> {
  for (let after = rolePrefix(storeId); ;) {
    const rows = await connections.withdraw<{ role: string; memberOf: string[] }>(
      pageAfter(after, storeId),
      bounds,
    )
    for (const row of rows) {
      const grantId = grantIdOf(storeId, row.role)
      if (grantId !== undefined) yield { grantId, handle: handleOf(row, server, accesses) }
      after = row.role
    }
    if (rows.length < PAGE) return
  }
}

/** Names compare byte by byte, whatever the locale; the one after `tg_<store>_…` would begin with `tg_<store>` + '`'. */
function pageAfter(after: string, storeId: string): string {
  const end = `${rolePrefix(storeId).slice(0, -1)}\``
  return `
    select r.rolname::text as role, array(
      select g.rolname::text from pg_auth_members as m join pg_roles as g on g.oid = m.roleid
      where m.member = r.oid order by g.rolname
    ) as "memberOf"
    from pg_roles as r
    where r.rolname > ${quoteLiteral(after)} and r.rolname < ${quoteLiteral(end)}
      and r.rolname ~ '^tg_[0-9a-z]{8}_[0-9a-f]{32}$'
    order by r.rolname limit ${PAGE}`
}

/** Which access it was made for can be told only by what it is a member of, and no longer once it is closed. */
function handleOf({ role, memberOf }: Row, server: Server, accesses: readonly Access[]): Found['handle'] {
  const access = accesses.find(
    (one) => one.memberOf.length === memberOf.length && one.memberOf.every((name) => memberOf.includes(name)),
  )
  const closest = access ?? accesses[0]
  return {
    role,
    server: server.name,
    database: server.agentDatabase,
    memberOf: access?.memberOf ?? memberOf,
    owner: closest?.owner ?? closest?.memberOf[0] ?? server.user,
  }
}
