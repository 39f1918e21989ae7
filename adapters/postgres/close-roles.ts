import { AdapterError } from '../../broker/adapter.ts'
import { isOver, within, type Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { endSessionsOnce } from './end-sessions.ts'
import { ServerError, STATE, timeIsOver } from './failure.ts'
import { doBlock, quoteIdentifier, quoteOids } from './quote.ts'
import { chunksOf, oidsOf, type Role } from './role.ts'

/** Each locks what it changes until it commits. */
const CHUNK = 100
const LOCK_TIMEOUT_MS = 200
const STUBBORN_MS = 3_000

export interface Closed {
  readonly closed: readonly Role[]
  readonly failed: ReadonlyMap<Role, AdapterError>
}

/**
 * Takes from roles what a session could use, in one transaction: the login, what they are members of, and who is a
 * member of them. Sessions are ended after that, so that one which slips in has nothing.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function closeRoles(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<Closed> {
  const closed: Role[] = []
  const stubborn: Role[] = []
  for (const chunk of chunksOf(roles, CHUNK)) {
    const failure = await close(connections, chunk, bounds)
    if (failure === undefined) closed.push(...chunk)
    else stubborn.push(...chunk)
  }
  const failed = await closeStubborn(connections, stubborn, bounds)
  return { closed: [...closed, ...stubborn.filter((role) => !failed.has(role))], failed }
}

/**
 * One by one. A session may hold its own role's row (it may change its password, and not commit): what holds it is
 * ended first then, and again before every further try.
 */
async function closeStubborn(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<ReadonlyMap<Role, AdapterError>> {
  const failed = new Map<Role, AdapterError>()
  const limits = within(bounds, STUBBORN_MS)
  for (let pending = roles; pending.length > 0;) {
    const left: Role[] = []
    for (const role of pending) {
      const failure = isOver(limits) ? timeIsOver(true) : await close(connections, [role], bounds)
      if (failure === undefined) failed.delete(role)
      else failed.set(role, explained(failure, role))
      if (failure !== undefined && failure.state !== STATE.insufficientPrivilege) left.push(role)
    }
    if (left.length === 0 || isOver(limits)) break
    await endSessionsOnce(connections, oidsOf(left), bounds)
    pending = left
  }
  return failed
}

async function close(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<ServerError | undefined> {
  try {
    await connections.withdraw(closeStatement(roles), bounds, { lockTimeoutMs: LOCK_TIMEOUT_MS })
    return undefined
  } catch (error) {
    if (error instanceof ServerError && error.isRefusal) return error
    throw error
  }
}

/**
 * What the administrator may not revoke is no reason to leave the login open; and it goes with the role. After a
 * first lock that is not to be had, the other memberships wait for that too.
 */
function closeStatement(roles: readonly Role[]): string {
  return doBlock(`
    declare
      oids constant oid[] := ${quoteOids(oidsOf(roles))};
      item record;
    begin
      for item in select rolname from pg_roles where oid = any (oids) and rolcanlogin order by oid loop
        execute format('alter role %I nologin', item.rolname);
      end loop;
      for item in
        select granted.rolname as role, member.rolname as member, grantor.rolname as grantor
        from pg_auth_members as m
          join pg_roles as granted on granted.oid = m.roleid
          join pg_roles as member on member.oid = m.member
          left join pg_roles as grantor on grantor.oid = m.grantor
        where (m.roleid = any (oids) or m.member = any (oids)) and member.rolname <> current_user
      loop
        begin
          execute format('revoke %I from %I', item.role, item.member)
            || case when current_setting('server_version_num')::int >= 160000
                 then format(' granted by %I cascade', item.grantor) else '' end;
        exception
          when lock_not_available then exit;
          when others then null;
        end;
      end loop;
    end`)
}

function explained(error: ServerError, { name }: Role): AdapterError {
  if (error.state !== STATE.insufficientPrivilege) return error
  const message =
    'the administrator may not change this user, which another one has made; a superuser can give it to the ' +
    `administrator: grant ${quoteIdentifier(name)} to … with admin option`
  return new AdapterError('failed', message, { settled: true })
}
