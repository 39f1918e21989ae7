import type { ClientBase } from 'pg'
import { describe } from './failure.ts'
import type { Handle } from './handle.ts'
import { withDatabase } from './connections.ts'
import { quoteIdentifier, quoteLiteral } from './quote.ts'
import type { FoundRole } from './roles.ts'
import type { Server } from './settings.ts'

/**
 * Hands over what a role owns, in every database where it owns or was granted something, and drops it. Answers what
 * is left and why, or nothing.
 */
export async function removeRole(
  client: ClientBase,
  server: Server,
  role: FoundRole,
  handle: Handle,
): Promise<string | undefined> {
  const prepared = await rollBackPrepared(client, server, role)
  if (prepared !== undefined) return prepared
  for (const database of await databasesOf(client, role)) {
    try {
      await withDatabase(server, database, (own) => handOver(own, role, handle))
    } catch (error) {
      return `database ${database}: ${describe(error)}`
    }
  }
  try {
    await client.query(`drop role if exists ${quoteIdentifier(role.name)}`)
    return undefined
  } catch (error) {
    return describe(error)
  }
}

async function databasesOf(client: ClientBase, role: FoundRole): Promise<string[]> {
  // Entries without a database are about shared objects; whichever database we are in takes care of them.
  const result = await client.query<{ name: string }>(
    `select distinct coalesce(d.datname, current_database()) as name
     from pg_shdepend as s left join pg_database as d on d.oid = s.dbid
     where s.refclassid = 'pg_authid'::regclass and s.refobjid = $1 and s.classid <> 'pg_auth_members'::regclass`,
    [role.oid],
  )
  return result.rows.map(({ name }) => name)
}

async function handOver(client: ClientBase, role: FoundRole, handle: Handle): Promise<void> {
  const [from, to] = [quoteIdentifier(role.name), quoteIdentifier(handle.owner)]
  await client.query('begin')
  // A function that runs with its owner's rights would be a way back in for whoever may call it.
  await client.query(
    `do ${quoteLiteral(DEFINER_TO_INVOKER.replaceAll('ROLE_OID', String(Number(role.oid))))}`,
  )
  await client.query(`reassign owned by ${from} to ${to}`)
  await client.query(`drop owned by ${from}`)
  await client.query('commit')
}

const DEFINER_TO_INVOKER = `
  declare routine record;
  begin
    for routine in select oid::regprocedure::text as name from pg_proc where proowner = ROLE_OID and prosecdef loop
      execute 'alter routine ' || routine.name || ' security invoker';
    end loop;
  end`

/** A transaction that a role has prepared keeps its locks; only its owner or a superuser can end it. */
async function rollBackPrepared(
  client: ClientBase,
  server: Server,
  role: FoundRole,
): Promise<string | undefined> {
  const result = await client.query<{ gid: string; database: string; super: boolean }>(
    `select p.gid, p.database, u.rolsuper as super
     from pg_prepared_xacts as p, pg_roles as u where p.owner = $1 and u.rolname = current_user`,
    [role.name],
  )
  for (const { gid, database, super: mayEnd } of result.rows) {
    if (!mayEnd) return `database ${database}: a prepared transaction, which only a superuser can roll back`
    try {
      await withDatabase(server, database, (own) => own.query(`rollback prepared ${quoteLiteral(gid)}`))
    } catch (error) {
      return `database ${database}: a prepared transaction cannot be rolled back: ${describe(error)}`
    }
  }
  return undefined
}
