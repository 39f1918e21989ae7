import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { STATE } from './failure.ts'
import type { Handle } from './handle.ts'
import { doBlock, quoteIdentifier, quoteLiteral } from './quote.ts'

/** Moves the end of a role that can log in. @throws {ServerError} */
export async function renewRole(
  connections: Connections,
  { role }: Handle,
  expiresAt: Date,
  bounds: Bounds,
): Promise<void> {
  await connections.grant(
    doBlock(`begin
      if not exists (select from pg_roles where rolname = ${quoteLiteral(role)} and rolcanlogin) then
        raise exception 'not alive' using errcode = '${STATE.notAlive}';
      end if;
      alter role ${quoteIdentifier(role)} valid until ${quoteLiteral(expiresAt.toISOString())};
    end`),
    bounds,
  )
}
