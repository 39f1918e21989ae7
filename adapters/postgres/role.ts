import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { quoteLiteral } from './quote.ts'

/** A role of ours that exists. */
export interface Role {
  readonly oid: number
  readonly name: string
}

/** One whose access has ended. */
export interface EndedRole extends Role {
  /** Who inherits what it owns. */
  readonly owner: string
}

export async function findRoles(
  connections: Connections,
  names: readonly string[],
  bounds: Bounds,
): Promise<Role[]> {
  if (names.length === 0) return []
  return connections.withdraw<{ oid: number; name: string }>(
    `select oid, rolname::text as name from pg_roles
     where rolname = any (array[${names.map(quoteLiteral).join(', ')}]::name[])`,
    bounds,
  )
}

export function oidsOf(roles: readonly Role[]): number[] {
  return roles.map(({ oid }) => oid)
}

export function chunksOf<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size)
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size))
}

/**
 * PL/pgSQL that makes the administrator a member of the role in `oid` and `name`, unless it is a superuser: needed
 * from PostgreSQL 16 on to end the sessions of a role that it made, and in every version to hand over what it owns.
 */
export function joinRole(oid: string, name: string): string {
  return `
    if not (select rolsuper from pg_roles where rolname = current_user)
      and exists (select from pg_roles where oid = ${oid})
    then
      execute format('grant %I to current_user', ${name})
        || case when current_setting('server_version_num')::int >= 160000 then ' with inherit true, set true' else '' end;
    end if;`
}
