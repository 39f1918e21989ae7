import { AdapterError } from '../../broker/adapter.ts'
import { sleep } from '../../broker/clock.ts'
import { isOver, within, type Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { ServerError, STATE } from './failure.ts'
import { doBlock, quoteOids } from './quote.ts'
import { joinRole } from './role.ts'

const QUIET_LOOKS = 2
const QUIET_MS = 4
const LONGEST_PAUSE_MS = 100
const WAIT_MS = 4_000

/**
 * Ends all sessions of these roles, whatever they do, and waits for it: until a look finds none, and another one a
 * few milliseconds later neither. (A login that passed its check in time shows up as a session a little after that.)
 * Gives the error of each role that still has sessions.
 *
 * @throws {ServerError} if the server is out of reach
 */
export async function endSessions(
  connections: Connections,
  oids: readonly number[],
  bounds: Bounds,
): Promise<ReadonlyMap<number, AdapterError>> {
  const limits = within(bounds, WAIT_MS)
  let alive = oids
  let quiet = 0
  let pause = QUIET_MS
  while (oids.length > 0) {
    if (isOver(limits)) return whyAlive(connections, alive, bounds)
    alive = await endSessionsOnce(connections, oids, bounds)
    quiet = alive.length === 0 ? quiet + 1 : 0
    if (quiet === QUIET_LOOKS) break
    await sleep(quiet > 0 ? QUIET_MS : pause, bounds.signal)
    if (quiet === 0) pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
  }
  return new Map()
}

/** Makes sure, at little cost if there is nothing, after roles were dropped: their sessions still carry their oid. */
export async function endLateSessions(
  connections: Connections,
  oids: readonly number[],
  bounds: Bounds,
): Promise<ReadonlyMap<number, AdapterError>> {
  if (oids.length === 0 || isOver(bounds)) return new Map()
  const late = await connections.withdraw<{ oid: number }>(
    `select distinct usesysid as oid from pg_stat_get_activity(null) where usesysid = any (${quoteOids(oids)})`,
    bounds,
  )
  const lateOids = late.map(({ oid }) => oid)
  return endSessions(connections, lateOids, bounds)
}

/** Looks once, tells what it finds to end, and gives the roles that had sessions: all, if it could not look. */
export async function endSessionsOnce(
  connections: Connections,
  oids: readonly number[],
  bounds: Bounds,
): Promise<readonly number[]> {
  try {
    const sql = `${endStatement(oids)}; select current_setting('taskgrant.alive') as alive`
    const [row] = await connections.withdraw<{ alive: string }>(sql, bounds)
    const alive = row?.alive ?? ''
    return alive === '' ? [] : [...new Set(alive.split(',').map(Number))]
  } catch (error) {
    if (error instanceof ServerError && error.isRefusal) return oids
    throw error
  }
}

/**
 * Backends that have not told yet whose session they are. They show as holders of locks only, up to PostgreSQL 17. A
 * client can stay like this for long after its login was allowed: `options=-c post_auth_delay=…` is anyone's to set.
 */
export const STARTING_BACKENDS = `
  select pid from pg_lock_status() where locktype = 'virtualxid' and pid is not null
  except
  select pid from pg_stat_get_activity(null) where usesysid is not null or backend_type <> 'client backend'`

/**
 * Joining a role and ending its sessions are one transaction: in PostgreSQL 14 a role may expel its members. Which of
 * the starting backends belong to a role shows by what the role itself may end: its own, and no others once it is a
 * member of nothing.
 */
function endStatement(oids: readonly number[]): string {
  return doBlock(`
    declare
      oids constant oid[] := ${quoteOids(oids)};
      alive oid[] := '{}';
      starting int[];
      starting_pid int;
      item record;
    begin
      for item in
        select a.usesysid as oid, r.rolname, array_agg(a.pid) as pids
        from pg_stat_get_activity(null) as a left join pg_roles as r on r.oid = a.usesysid
        where a.usesysid = any (oids)
        group by a.usesysid, r.rolname
      loop
        alive := alive || item.oid;
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
      starting := array(${STARTING_BACKENDS});
      if cardinality(starting) > 0 then
        for item in select oid, rolname from pg_roles where oid = any (oids) loop
          begin
            ${joinRole('item.oid', 'item.rolname')}
            execute format('set local role %I', item.rolname);
            foreach starting_pid in array starting loop
              begin
                if pg_terminate_backend(starting_pid) then
                  alive := alive || item.oid;
                end if;
              exception
                when insufficient_privilege then null;
              end;
            end loop;
          exception
            when others then alive := alive || item.oid;
          end;
          set local role none;
        end loop;
      end if;
      perform set_config('taskgrant.alive', array_to_string(alive, ','), true);
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
