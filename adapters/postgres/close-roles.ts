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
const STUBBORN_MS = 1_500

export interface Closed {
  readonly closed: readonly Role[]
  readonly refused: ReadonlyMap<Role, AdapterError>
}

/**
 * Closes the login of roles: committed before anything else is done to them.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function closeRoles(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<Closed> {
  const closed: Role[] = []
  const refused = new Map<Role, AdapterError>()
  for (const chunk of chunksOf(roles, CHUNK)) {
    if ((await close(connections, chunk, bounds)) === undefined) {
      closed.push(...chunk)
      continue
    }
    for (const role of chunk) {
      const refusal = await close(connections, [role], bounds)
      if (refusal === undefined) closed.push(role)
      else refused.set(role, explained(refusal, role))
    }
  }
  return { closed, refused }
}

/**
 * For roles that could not be closed because something holds them: maybe their own sessions, as a user may change its
 * password and not commit. These are ended, and the role closed before they are back.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function closeForcibly(
  connections: Connections,
  roles: readonly Role[],
  bounds: Bounds,
): Promise<Closed> {
  const limits = within(bounds, STUBBORN_MS)
  const closed: Role[] = []
  let refused = new Map<Role, AdapterError>(roles.map((role) => [role, timeIsOver(true)]))
  while (refused.size > 0 && !isOver(limits)) {
    await endSessionsOnce(connections, oidsOf([...refused.keys()]), bounds)
    const again = await closeRoles(connections, [...refused.keys()], bounds)
    closed.push(...again.closed)
    refused = new Map(again.refused)
  }
  return { closed, refused }
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

function closeStatement(roles: readonly Role[]): string {
  return doBlock(`
    declare
      item record;
    begin
      for item in
        select rolname from pg_roles where oid = any (${quoteOids(oidsOf(roles))}) and rolcanlogin order by oid
      loop
        execute format('alter role %I nologin', item.rolname);
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
