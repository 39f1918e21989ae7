import pg from 'pg'
import { sleep } from '../../broker/clock.ts'
import { unlessAborted, type Bounds } from './bounds.ts'
import { connectFailure, sqlState, statementFailure, timeIsOver } from './failure.ts'
import type { Server } from './server.ts'

export interface RunOptions {
  readonly lockTimeoutMs?: number
}

/**
 * Runs one or several statements as one transaction, in one round trip, and gives the rows of the last. The server
 * ends it when the bounds do.
 *
 * @throws {ServerError} settled unless it may have taken hold, or may yet
 */
export type Run = <Row extends pg.QueryResultRow>(
  sql: string,
  bounds: Bounds,
  options?: RunOptions,
) => Promise<Row[]>

/** A session in one database. */
export interface Visit {
  readonly run: Run
  /** For statements that no transaction may hold. */
  runAlone(sql: string, bounds: Bounds): Promise<void>
}

/** The administrator's connections to one server. */
export interface Connections extends AsyncDisposable {
  readonly grant: Run
  /** On connections of its own, so that ending access is never kept waiting by granting it. */
  readonly withdraw: Run
  /** Connects to a database of the server for as long as `work` takes. @throws {ServerError} */
  visit<T>(database: string, bounds: Bounds, work: (visit: Visit) => Promise<T>): Promise<T>
}

/**
 * Names in `public` are the agents' to choose. Our statements look a few rows up in catalogs whose statistics mislead:
 * all that is granted to users has one grantor. (In place of PGOPTIONS, PGSSLMODE and the like, which have no say.)
 */
const OPTIONS = '-c search_path=pg_catalog -c client_min_messages=error -c enable_seqscan=off -c jit=off'
const CONNECT_TIMEOUT_MS = 5_000
const VISIT_CONNECT_TIMEOUT_MS = 3_000
const LOCK_TIMEOUT_MS = 3_000
/** For statements without limits of their own, and for sessions that we have lost. */
const SESSION_TIMEOUT_MS = 15_000
const IDLE_MS = 60_000
const CANCEL_GRACE_MS = 1_000
const GOODBYE_MS = 250

export function openConnections(
  server: Server,
  sizes: { readonly grant: number; readonly withdraw: number },
): Connections {
  // The database of the administrator; one connection stays, for the case that agents take all others of the server.
  const withdrawing = openPool(server, { max: sizes.withdraw, min: 1 })
  const granting = openPool(server, { max: sizes.grant })
  const withdraw = runOn(withdrawing, withdrawing)

  return {
    grant: runOn(granting, withdrawing),
    withdraw,
    async visit(database, bounds, work) {
      const client = new pg.Client({
        ...clientConfig(server, database),
        connectionTimeoutMillis: Math.max(1, Math.min(VISIT_CONNECT_TIMEOUT_MS, bounds.remainingMs())),
      })
      client.on('error', () => undefined)
      try {
        await client.connect().catch((error: unknown) => {
          throw connectFailure(error)
        })
        const borrowed: Borrowed = { client, isBroken: false }
        return await work({
          run: (sql, limits, options) =>
            execute(borrowed, withdrawing, limited(sql, limits, options), limits),
          runAlone: async (sql, limits) => {
            await execute(borrowed, withdrawing, sql, limits)
          },
        })
      } finally {
        // A server that hangs does not say goodbye.
        await Promise.race([client.end().catch(() => undefined), sleep(GOODBYE_MS)])
      }
    },
    async [Symbol.asyncDispose]() {
      const open = [granting, withdrawing].filter((pool) => !pool.ending)
      await Promise.all(open.map((pool) => pool.end()))
    },
  }
}

function clientConfig(server: Server, database: string): pg.ClientConfig {
  const ca = server.tls?.ca
  return {
    host: server.host,
    port: server.port,
    user: server.user,
    password: () => server.password.reveal(),
    database,
    application_name: 'taskgrant',
    options: OPTIONS,
    ssl: server.tls === undefined ? false : { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) },
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: SESSION_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: SESSION_TIMEOUT_MS,
    keepAlive: true,
  }
}

function openPool(server: Server, sizes: { readonly max: number; readonly min?: number }): pg.Pool {
  const config = clientConfig(server, server.adminDatabase)
  const pool = new pg.Pool({ ...config, ...sizes, idleTimeoutMillis: IDLE_MS })
  // Without a listener, an idle connection that the server closes would end the process.
  pool.on('error', () => undefined)
  return pool
}

interface Borrowed {
  readonly client: pg.ClientBase
  isBroken: boolean
}

function runOn(pool: pg.Pool, cancelOn: pg.Pool): Run {
  return async (sql, bounds, options) => {
    const client = await borrow(pool, bounds)
    const borrowed: Borrowed = { client, isBroken: false }
    const markBroken = (): void => {
      borrowed.isBroken = true
    }
    client.on('error', markBroken)
    try {
      return await execute(borrowed, cancelOn, limited(sql, bounds, options), bounds)
    } finally {
      client.off('error', markBroken)
      client.release(borrowed.isBroken)
    }
  }
}

async function borrow(pool: pg.Pool, bounds: Bounds): Promise<pg.PoolClient> {
  if (bounds.signal.aborted) throw timeIsOver(true)
  const connecting = pool.connect()
  try {
    const connected = await unlessAborted(bounds.signal, connecting)
    if (connected !== undefined) return connected.result
  } catch (error) {
    throw connectFailure(error)
  }
  connecting.then((client) => client.release()).catch(() => undefined)
  throw timeIsOver(true)
}

function limited(sql: string, bounds: Bounds, { lockTimeoutMs = LOCK_TIMEOUT_MS }: RunOptions = {}): string {
  const statementMs = Math.max(1, Math.ceil(bounds.remainingMs()))
  return `set local statement_timeout = ${statementMs}; set local lock_timeout = ${lockTimeoutMs}; ${sql}`
}

async function execute<Row extends pg.QueryResultRow>(
  borrowed: Borrowed,
  cancelOn: pg.Pool,
  sql: string,
  bounds: Bounds,
): Promise<Row[]> {
  if (bounds.signal.aborted || bounds.remainingMs() <= 0) throw timeIsOver(true)
  const running = borrowed.client.query<Row>(sql)
  let done: { readonly result: pg.QueryResult<Row> } | undefined
  try {
    done = await unlessAborted(bounds.signal, running)
  } catch (error) {
    throw statementFailure(error)
  }
  if (done === undefined) throw timeIsOver(await stop(borrowed, cancelOn, running))
  // For several statements node-postgres gives a list of results, which its types do not say.
  const results: unknown = done.result
  const last: unknown = Array.isArray(results) ? results.at(-1) : results
  return (last as pg.QueryResult<Row>).rows
}

/** Has the server give a statement up. True if it said that it did; the connection is of no more use either way. */
async function stop(borrowed: Borrowed, cancelOn: pg.Pool, running: Promise<unknown>): Promise<boolean> {
  borrowed.isBroken = true
  // Missing from the types. Nobody else can have this number while the connection is ours.
  const { processID } = borrowed.client as pg.ClientBase & { processID?: number }
  if (processID !== undefined) {
    cancelOn.query('select pg_cancel_backend($1)', [processID]).catch(() => undefined)
  }
  const rolledBack = running.then(
    () => false,
    (error: unknown) => sqlState(error) !== undefined,
  )
  return Promise.race([rolledBack, sleep(CANCEL_GRACE_MS).then(() => false)])
}
