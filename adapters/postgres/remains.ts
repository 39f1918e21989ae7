import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { quoteOids } from './quote.ts'
import { oidsOf, type Role } from './role.ts'

export interface Prepared {
  readonly gid: string
  readonly database: string
}

/** What keeps a role from being dropped. */
export interface Remains {
  /** Where it owns something or was granted something; an entry that is shared by all databases counts as ours. */
  readonly databases: readonly string[]
  readonly prepared: readonly Prepared[]
}

/** What is left of these roles. Those of which nothing is are not in the answer. */
export async function findRemains(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<ReadonlyMap<number, Remains>> {
  if (roles.length === 0) return new Map()
  const rows = await connections.withdraw<{ oid: number; databases: string[]; prepared: Prepared[] }>(
    `select r.oid,
       array(
         select distinct coalesce(b.datname, current_database())::text
         from pg_shdepend as d left join pg_database as b on b.oid = d.dbid
         where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and (d.dbid = 0 or b.oid is not null)
       ) as databases,
       coalesce((
         select json_agg(json_build_object('gid', p.gid, 'database', p.database))
         from pg_prepared_xacts as p where p.owner = r.rolname
       ), '[]') as prepared
     from pg_roles as r
     where r.oid = any (${quoteOids(oidsOf(roles))})`,
    bounds,
  )
  const left = rows.filter(({ databases, prepared }) => databases.length > 0 || prepared.length > 0)
  return new Map(left.map(({ oid, databases, prepared }) => [oid, { databases, prepared }]))
}
