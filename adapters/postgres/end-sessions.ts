import { AdapterError } from '../../broker/adapter.ts'
import { sleep } from '../../broker/clock.ts'
import { isOver, within, type Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { ServerError, STATE } from './failure.ts'
import { doBlock, quoteOids } from './quote.ts'
import { joinRole } from './role.ts'

const QUIET_MS = 4
const LONGEST_PAUSE_MS = 100
const WAIT_MS = 4_000

/**
 * Ends all sessions of these roles, whatever they do, and waits for it: until a look finds none, and another one a
 * few milliseconds later neither. (A login that passed its check in time shows up as a session a little after that.)
 * Roles may be gone already: their sessions still carry their oid. Gives the error of each that still has sessions.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function endSessions(
  connections: Connections,
  oids: readonly number[],
  bounds: Bounds,
  looks = 2,
): Promise<ReadonlyMap<number, AdapterError>> {
  const limits = within(bounds, WAIT_MS)
  let alive = oids
  let pause = QUIET_MS
  for (let quiet = 0; oids.length > 0 && quiet < looks;) {
    if (isOver(limits)) return whyAlive(connections, alive, bounds)
    alive = await endSessionsOnce(connections, oids, bounds)
    quiet = alive.length === 0 ? quiet + 1 : 0
    if (quiet === looks) break
    await sleep(quiet > 0 ? QUIET_MS : pause, bounds.signal)
    if (quiet === 0) pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
  }
  return new Map()
}

/** Looks once, tells what it finds to end, and gives the roles that had sessions: all, if it could not look. */
export async function endSessionsOnce(
  connections: Connections,
  oids: readonly number[],
  bounds: Bounds,
): Promise<readonly number[]> {
  try {
    const rows = await connections.withdraw<{ oid: number }>(
      `select distinct usesysid as oid from pg_stat_activity where usesysid = any (${quoteOids(oids)})`,
      bounds,
    )
    const alive = rows.map(({ oid }) => oid)
    if (alive.length > 0) await connections.withdraw(terminateStatement(alive), bounds)
    return alive
  } catch (error) {
    if (error instanceof ServerError && error.isRefusal) return oids
    throw error
  }
}

/** Joining a role and ending its sessions are one transaction: in PostgreSQL 14 a role may expel its members. */
function terminateStatement(oids: readonly number[]): string {
  return doBlock(`
    declare
      item record;
    begin
      for item in
        select a.usesysid as oid, r.rolname, array_agg(a.pid) as pids
        from pg_stat_activity as a left join pg_roles as r on r.oid = a.usesysid
        where a.usesysid = any (${quoteOids(oids)})
        group by a.usesysid, r.rolname
      loop
        begin
          if not pg_has_role(current_user, 'pg_signal_backend', 'usage') then
            ${joinRole('item.oid', 'item.rolname')}
          end if;
          perform pg_terminate_backend(pid) from unnest(item.pids) as pid;
        exception
          -- The next look finds what is left of it.
          when others then null;
        end;
      end loop;
    end`)
}

async function whyAlive(
  connections: Connections,
  oids: readonly number[],
  bounds: Bounds,
): Promise<ReadonlyMap<number, AdapterError>> {
  const errors = new Map<number, AdapterError>()
  for (const oid of oids) errors.set(oid, await whyOneIsAlive(connections, oid, bounds))
  return errors
}

async function whyOneIsAlive(connections: Connections, oid: number, bounds: Bounds): Promise<AdapterError> {
  try {
    await connections.withdraw(
      `select pg_terminate_backend(pid) from pg_stat_activity where usesysid = ${oid}`,
      bounds,
    )
  } catch (error) {
    if (!(error instanceof ServerError && error.isRefusal)) throw error
    if (error.state === STATE.insufficientPrivilege) {
      const message =
        'the administrator may not end its sessions: grant pg_signal_backend to the administrator'
      return new AdapterError('failed', message, { settled: true })
    }
  }
  return new AdapterError('timeout', 'its sessions did not end in time', { settled: true })
}
