import type { ClientBase } from 'pg'
import { AdapterError, type Revoked } from '../../broker/adapter.ts'
import { disarm, endSessions } from './end-access.ts'
import { toAdapterError } from './failure.ts'
import type { Handle } from './handle.ts'
import { quoteIdentifier } from './quote.ts'
import { removeRole } from './remove.ts'
import { inspectRoles, type FoundRole } from './roles.ts'
import type { Server } from './settings.ts'

const GONE: Revoked = { access: 'ended', removed: true }

/**
 * Withdraws the users of these handles, which are all on this server. Those that nothing holds are dropped in one
 * statement; the others are disarmed, cut off and cleared away, so that one in trouble does not hold up the rest.
 */
export async function revokeRoles(
  client: ClientBase,
  server: Server,
  handles: readonly Handle[],
): Promise<Revoked[]> {
  const outcomes = new Map<string, Revoked>()
  const found = await inspectRoles(
    client,
    handles.map(({ role }) => role),
  )
  const idle = found.filter(({ busy }) => !busy)
  const busy = found.filter((role) => role.busy)
  if (idle.length > 0 && !(await dropAll(client, idle))) {
    // Something has changed since we looked: what is still there gets the full treatment.
    busy.push(
      ...(await inspectRoles(
        client,
        idle.map(({ name }) => name),
      )),
    )
  }
  for (const [name, outcome] of await revokeBusy(client, server, busy, handles)) outcomes.set(name, outcome)
  // A login that was under way when its role was dropped shows up as a session of a role that is not there.
  if (found.length > 0)
    await endSessions(
      client,
      found.map(({ oid }) => oid),
    )
  return handles.map(({ role }) => outcomes.get(role) ?? GONE)
}

async function dropAll(client: ClientBase, roles: readonly FoundRole[]): Promise<boolean> {
  try {
    await client.query(`drop role if exists ${roles.map(({ name }) => quoteIdentifier(name)).join(', ')}`)
    return true
  } catch (error) {
    // Lost connections are for the caller; anything that the server says is looked into role by role.
    if (toAdapterError(error, true).failure === 'unavailable') throw error
    return false
  }
}

async function revokeBusy(
  client: ClientBase,
  server: Server,
  roles: readonly FoundRole[],
  handles: readonly Handle[],
): Promise<Map<string, Revoked>> {
  const outcomes = new Map<string, Revoked>()
  const ended = await endAccess(client, roles, outcomes)
  for (const role of ended) {
    const handle = handles.find(({ role: name }) => name === role.name)
    const residue = handle === undefined ? 'unknown role' : await removeRole(client, server, role, handle)
    outcomes.set(role.name, residue === undefined ? GONE : { access: 'ended', removed: false, residue })
  }
  return outcomes
}

/** All at once; if that fails, one by one. Answers those whose access has ended, and notes the others. */
async function endAccess(
  client: ClientBase,
  roles: readonly FoundRole[],
  outcomes: Map<string, Revoked>,
): Promise<FoundRole[]> {
  if (roles.length === 0) return []
  try {
    await disarm(client, roles)
    await endSessions(
      client,
      roles.map(({ oid }) => oid),
    )
    return [...roles]
  } catch (error) {
    if (toAdapterError(error, true).failure === 'unavailable') throw error
    const [only, ...others] = roles
    if (only !== undefined && others.length === 0) return endOne(client, only, error, outcomes)
    const ended: FoundRole[] = []
    for (const role of roles) ended.push(...(await endAccess(client, [role], outcomes)))
    return ended
  }
}

/** A role that another broker has dropped meanwhile is as good as withdrawn. */
async function endOne(
  client: ClientBase,
  role: FoundRole,
  error: unknown,
  outcomes: Map<string, Revoked>,
): Promise<FoundRole[]> {
  const [still] = await inspectRoles(client, [role.name])
  if (still === undefined) return []
  const failure = error instanceof AdapterError ? error : toAdapterError(error, true)
  outcomes.set(role.name, { access: 'open', error: failure })
  return []
}
