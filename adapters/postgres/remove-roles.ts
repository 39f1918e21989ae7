import { isOver, within, type Bounds } from './bounds.ts'
import type { Connections, Visit } from './connections.ts'
import { ServerError, STATE } from './failure.ts'
import { handOver, rollBackPrepared } from './hand-over.ts'
import { quoteIdentifier } from './quote.ts'
import { findRemains, type Remains } from './remains.ts'
import { chunksOf, findRoles, type EndedRole } from './role.ts'

/** Every role takes one of the server's locks until the statement commits. */
const CHUNK = 100
const LOCK_TIMEOUT_MS = 1_000
/** What takes longer is kept as residue, so that the others of a batch hear of the end of their access. */
const HAND_OVER_MS = 5_000

/** Why each role is still there that is, in our words. */
type Residues = Map<number, string>

/**
 * Drops roles; what they own changes hands before. Gives the cause for each that could not be dropped.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function removeRoles(
  connections: Connections,
  roles: readonly EndedRole[],
  bounds: Bounds,
): Promise<ReadonlyMap<number, string>> {
  const residues: Residues = new Map()
  const remains = new Map(await findRemains(connections, roles, bounds))
  const refused = await drop(
    connections,
    roles.filter(({ oid }) => !remains.has(oid)),
    bounds,
  )
  for (const [role, error] of refused) residues.set(role.oid, error.message)
  // It was granted something, or a transaction of it committed, after we looked.
  const late = [...refused].filter(([, { state }]) => state === STATE.dependentObjects).map(([role]) => role)
  for (const [oid, found] of await findRemains(connections, late, bounds)) {
    remains.set(oid, found)
    residues.delete(oid)
  }

  const held = roles.filter(({ oid }) => remains.has(oid))
  await clear(connections, held, remains, residues, bounds)
  const cleared = held.filter(({ oid }) => !residues.has(oid))
  for (const [role, error] of await drop(connections, cleared, bounds)) residues.set(role.oid, error.message)
  return withoutGone(connections, roles, residues, bounds)
}

/** All at once; if that fails, one by one. Gives the error of each that could not be dropped. */
async function drop(
  connections: Connections,
  roles: readonly EndedRole[],
  bounds: Bounds,
): Promise<ReadonlyMap<EndedRole, ServerError>> {
  const refused = new Map<EndedRole, ServerError>()
  for (const chunk of chunksOf(roles, CHUNK)) {
    if ((await dropTogether(connections, chunk, bounds)) === undefined) continue
    for (const role of chunk) {
      const error = await dropTogether(connections, [role], bounds)
      if (error !== undefined) refused.set(role, error)
    }
  }
  return refused
}

async function dropTogether(
  connections: Connections,
  roles: readonly EndedRole[],
  bounds: Bounds,
): Promise<ServerError | undefined> {
  const names = roles.map(({ name }) => quoteIdentifier(name)).join(', ')
  return refusalOf(() =>
    connections.withdraw(`drop role if exists ${names}`, bounds, { lockTimeoutMs: LOCK_TIMEOUT_MS }),
  )
}

async function refusalOf(work: () => Promise<unknown>): Promise<ServerError | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    if (error instanceof ServerError && error.isRefusal) return error
    throw error
  }
}

/** Visits each database that has something of these roles once, and clears it there. */
async function clear(
  connections: Connections,
  roles: readonly EndedRole[],
  remains: ReadonlyMap<number, Remains>,
  residues: Residues,
  bounds: Bounds,
): Promise<void> {
  const limits = within(bounds, HAND_OVER_MS)
  const everywhere = [...remains.values()].flatMap(({ databases, prepared }) => [
    ...databases,
    ...prepared.map(({ database }) => database),
  ])
  for (const database of new Set(everywhere)) {
    const note = (role: EndedRole, message: string): void => {
      if (!residues.has(role.oid)) residues.set(role.oid, `database ${database}: ${message}`)
    }
    const here = roles.filter(({ oid }) => isIn(database, remains.get(oid)))
    try {
      await connections.visit(database, limits, async (visit) => {
        for (const role of here) {
          if (isOver(limits)) note(role, 'there was no time left to hand over what it owns')
          else
            await clearOne(visit, role, remains.get(role.oid), database, limits, (message) =>
              note(role, message),
            )
        }
      })
    } catch (error) {
      if (!(error instanceof ServerError)) throw error
      for (const role of here) note(role, error.message)
    }
  }
}

function isIn(database: string, remains: Remains | undefined): boolean {
  const { databases = [], prepared = [] } = remains ?? {}
  return databases.includes(database) || prepared.some((one) => one.database === database)
}

async function clearOne(
  visit: Visit,
  role: EndedRole,
  remains: Remains | undefined,
  database: string,
  bounds: Bounds,
  note: (message: string) => void,
): Promise<void> {
  const prepared = remains?.prepared.filter((one) => one.database === database) ?? []
  try {
    for (const { gid } of prepared) await rollBackPrepared(visit, role, gid, bounds)
    await handOver(visit, role, bounds)
  } catch (error) {
    if (!(error instanceof ServerError && (error.isRefusal || error.failure === 'timeout'))) throw error
    note(error.message)
  }
}

/** Another broker may have removed some of them meanwhile. */
async function withoutGone(
  connections: Connections,
  roles: readonly EndedRole[],
  residues: Residues,
  bounds: Bounds,
): Promise<ReadonlyMap<number, string>> {
  const named = roles.filter(({ oid }) => residues.has(oid)).map(({ name }) => name)
  const there = new Set((await findRoles(connections, named, bounds)).map(({ oid }) => oid))
  return new Map([...residues].filter(([oid]) => there.has(oid)))
}
