import type { Bounds } from './bounds.ts'
import type { Visit } from './connections.ts'
import { ServerError, STATE } from './failure.ts'
import { doBlock, quoteIdentifier, quoteLiteral } from './quote.ts'
import { joinRole, type EndedRole, type Role } from './role.ts'

const LOCK_TIMEOUT_MS = 1_000

/**
 * Hands what a role owns in one database over to its heir, and takes back what it was granted there. What is kept
 * must not work as a back door: whatever would run with the rights of its owner, by then the heir, no longer does.
 *
 * @throws {ServerError}
 */
export async function handOver(visit: Visit, role: EndedRole, bounds: Bounds): Promise<void> {
  const [from, to] = [quoteIdentifier(role.name), quoteIdentifier(role.owner)]
  const sql = [disarmStatement(role), `reassign owned by ${from} to ${to}`, `drop owned by ${from}`].join(
    '; ',
  )
  try {
    await visit.run(sql, bounds, { lockTimeoutMs: LOCK_TIMEOUT_MS })
  } catch (error) {
    throw explained(error, role)
  }
}

/**
 * A prepared transaction outlives its session and keeps its locks. Only its owner or a superuser may end it; a member
 * of the owner may become the owner.
 *
 * @throws {ServerError}
 */
export async function rollBackPrepared(visit: Visit, role: Role, gid: string, bounds: Bounds): Promise<void> {
  try {
    await visit.run(doBlock(`begin ${joinRole(String(role.oid), quoteLiteral(role.name))} end`), bounds, {
      lockTimeoutMs: LOCK_TIMEOUT_MS,
    })
    await visit.runAlone(`set role ${quoteIdentifier(role.name)}`, bounds)
    await visit.runAlone(`rollback prepared ${quoteLiteral(gid)}`, bounds)
    await visit.runAlone('reset role', bounds)
  } catch (error) {
    if (!(error instanceof ServerError) || error.state === STATE.undefinedObject) throw error
    // What the agent called it is quoted only if it looks like an identifier.
    const what = /^[\w.:-]{1,64}$/.test(gid) ? `prepared transaction ${gid}` : 'a prepared transaction'
    throw new ServerError(error.failure, `${what} cannot be rolled back: ${error.message}`, error)
  }
}

/**
 * Functions run with the rights of their caller then, and so do views (before PostgreSQL 15 they cannot; there, nobody
 * but the owner may use them any more). Rules, which have no such choice, are dropped.
 */
function disarmStatement(role: Role): string {
  return doBlock(`
    declare
      item record;
    begin
      ${joinRole(String(role.oid), quoteLiteral(role.name))}
      for item in
        select oid::regprocedure::text as name from pg_proc where proowner = ${role.oid} and prosecdef
      loop
        execute format('alter routine %s security invoker', item.name);
      end loop;
      for item in
        select r.rulename as name, c.oid::regclass::text as relation
        from pg_rewrite as r join pg_class as c on c.oid = r.ev_class
        where c.relowner = ${role.oid} and c.relpersistence <> 't' and r.ev_type <> '1'
      loop
        execute format('drop rule %I on %s', item.name, item.relation);
      end loop;
      if current_setting('server_version_num')::int >= 150000 then
        for item in
          select oid::regclass::text as name from pg_class
          where relowner = ${role.oid} and relkind = 'v' and relpersistence <> 't'
        loop
          execute format('alter view %s set (security_invoker = true)', item.name);
        end loop;
      else
        for item in
          select c.oid::regclass::text as name, coalesce(quote_ident(grantee.rolname), 'public') as grantee
          from pg_class as c
            left join pg_attribute as a on a.attrelid = c.oid and a.attacl is not null
            cross join lateral (
              select grantee from aclexplode(c.relacl) union select grantee from aclexplode(a.attacl)
            ) as acl
            left join pg_roles as grantee on grantee.oid = acl.grantee
          where c.relowner = ${role.oid} and c.relkind = 'v' and c.relpersistence <> 't'
            and acl.grantee <> ${role.oid}
        loop
          execute format('revoke all on %s from %s cascade', item.name, item.grantee);
        end loop;
      end if;
    end`)
}

function explained(error: unknown, { owner }: EndedRole): unknown {
  if (!(error instanceof ServerError)) return error
  if (error.state === STATE.undefinedObject) {
    return new ServerError(error.failure, `${owner}, who inherits what it owns, does not exist`, error)
  }
  if (error.state === STATE.insufficientPrivilege) {
    const message =
      `what it owns cannot be handed over to ${owner}: the administrator must be a member of ${owner}, ` +
      `and ${owner} must be allowed to create such objects in the same places`
    return new ServerError(error.failure, message, error)
  }
  return error
}
