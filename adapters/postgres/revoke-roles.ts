import type { Revoked } from '../../broker/adapter.ts'
import type { Bounds } from './bounds.ts'
import { closeForcibly, closeRoles, type Closed } from './close-roles.ts'
import type { Connections } from './connections.ts'
import { dropIdle } from './drop-idle.ts'
import { endLateSessions, endSessions } from './end-sessions.ts'
import { expelRoles } from './expel-roles.ts'
import { ServerError } from './failure.ts'
import type { Handle } from './handle.ts'
import { removeRoles } from './remove-roles.ts'
import { findRoles, oidsOf, type EndedRole } from './role.ts'

const GONE: Revoked = { access: 'ended', removed: true }

export interface RevokeBounds {
  readonly bounds: Bounds
  /** A little longer, so that what is known can be told when time is up. */
  readonly lastLook: Bounds
}

/**
 * Withdraws the roles of these handles, all of which are on this server. All are closed; those that are idle are
 * dropped; the sessions of the others are ended, and what they leave is cleared away. Each step is done for the whole
 * batch before the next, and a role in trouble stays behind in its step. Gives the outcomes by role.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function revokeRoles(
  connections: Connections,
  handles: readonly Handle[],
  { bounds, lastLook }: RevokeBounds,
): Promise<ReadonlyMap<string, Revoked>> {
  const outcomes = new Map<string, Revoked>(handles.map(({ role }) => [role, GONE]))
  const ownerOf = new Map(handles.map(({ role, owner }) => [role, owner]))

  async function finish({ closed, refused }: Closed): Promise<void> {
    const idle = new Set(await dropIdle(connections, closed, bounds))
    const used = closed.filter((role) => !idle.has(role))
    await expelRoles(connections, used, bounds)
    const alive = await endSessions(connections, oidsOf(used), bounds)
    const ended = used
      .filter(({ oid }) => !alive.has(oid))
      .map(({ oid, name }) => ({ oid, name, owner: ownerOf.get(name) ?? '' }))
    const residues = await tryRemove(connections, ended, bounds)
    // Nothing is there to be found any more, unless the machine stood still in the middle of a login.
    const late = await endLateSessions(connections, oidsOf([...idle, ...ended]), lastLook)
    for (const [{ name }, error] of refused) outcomes.set(name, { access: 'open', error })
    for (const { oid, name } of closed) {
      const error = alive.get(oid) ?? late.get(oid)
      const residue = residues.get(oid)
      if (error !== undefined) outcomes.set(name, { access: 'open', error })
      else outcomes.set(name, residue === undefined ? GONE : { access: 'ended', removed: false, residue })
    }
  }

  const found = await findRoles(connections, [...outcomes.keys()], bounds)
  const first = await closeRoles(connections, found, bounds)
  await finish(first)
  if (first.refused.size > 0)
    await finish(await closeForcibly(connections, [...first.refused.keys()], bounds))
  return outcomes
}

/** That access has ended is known by now, whatever becomes of this. */
async function tryRemove(
  connections: Connections,
  roles: readonly EndedRole[],
  bounds: Bounds,
): Promise<ReadonlyMap<number, string>> {
  try {
    return await removeRoles(connections, roles, bounds)
  } catch (error) {
    if (!(error instanceof ServerError)) throw error
    return new Map(roles.map(({ oid }) => [oid, error.message]))
  }
}
