import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { ServerError } from './failure.ts'
import { doBlock, quoteOids } from './quote.ts'
import { oidsOf, type Role } from './role.ts'

const LOCK_TIMEOUT_MS = 200

/**
 * Takes from closed roles what their sessions live on: what they are members of, and who is a member of them. It is
 * done before sessions are ended, so that one which slips in has nothing. What the server does not let us revoke is
 * no reason to leave the sessions alone, and it goes with the role. After a first lock that is not to be had, the other
 * memberships wait for that too: nobody can hold up the end of others for longer.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function expelRoles(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<void> {
  if (roles.length === 0) return
  try {
    await connections.withdraw(expelStatement(oidsOf(roles)), bounds, { lockTimeoutMs: LOCK_TIMEOUT_MS })
  } catch (error) {
    if (!(error instanceof ServerError && error.isRefusal)) throw error
  }
}

/** One statement for all members of a role: PostgreSQL 16 reads the list of its members for each. */
function expelStatement(oids: readonly number[]): string {
  return doBlock(`
    declare
      oids constant oid[] := ${quoteOids(oids)};
      item record;
    begin
      for item in
        select granted.rolname as role, grantor.rolname as grantor,
          string_agg(quote_ident(member.rolname), ', ') as members
        from pg_auth_members as m
          join pg_roles as granted on granted.oid = m.roleid
          join pg_roles as member on member.oid = m.member
          left join pg_roles as grantor on grantor.oid = m.grantor
        where (m.roleid = any (oids) or m.member = any (oids)) and member.rolname <> current_user
        group by granted.rolname, grantor.rolname
      loop
        begin
          execute format('revoke %I from %s', item.role, item.members)
            || case when current_setting('server_version_num')::int >= 160000
                 then format(' granted by %I cascade', item.grantor) else '' end;
        exception
          when lock_not_available then exit;
          when others then null;
        end;
      end loop;
    end`)
}
