import pg from 'pg'
import { AdapterError, type Call } from '../../broker/adapter.ts'
import { toAdapterError } from './failure.ts'
import type { Server } from './settings.ts'

const CONNECT_TIMEOUT_MS = 4_000
const STATEMENT_TIMEOUT_MS = 7_000
const LOCK_TIMEOUT_MS = 3_000

/** Limits that the server itself holds, so that what we have given up cannot take hold much later. */
export function clientConfig(server: Server, database = server.database): pg.ClientConfig {
  return {
    host: server.host,
    port: server.port,
    user: server.user,
    password: () => server.password.reveal(),
    database,
    application_name: 'taskgrant',
    ssl:
      server.tls === undefined
        ? false
        : { rejectUnauthorized: true, ...(server.tls.ca === undefined ? {} : { ca: server.tls.ca }) },
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
  }
}

export function openPool(server: Server, max: number): pg.Pool {
  const pool = new pg.Pool({ ...clientConfig(server), max, idleTimeoutMillis: 60_000 })
  // Without a listener, an idle connection that the server closes would end the process.
  pool.on('error', () => undefined)
  return pool
}

/**
 * Lends a connection for `work`. When the call's time is over the connection is destroyed: the server then rolls back
 * what was not committed, or ends it at its own limit.
 *
 * @throws {AdapterError} settled if nothing was sent
 */
export async function withConnection<T>(
  pool: pg.Pool,
  call: Call,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  if (call.signal.aborted)
    throw new AdapterError('timeout', 'the time for this call is over', { settled: true })
  const client = await pool.connect().catch((error: unknown) => {
    throw toAdapterError(error, false)
  })
  let broken = false
  let onAbort = (): void => undefined
  const lost = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      broken = true
      reject(new AdapterError('timeout', 'the backend did not answer in time', { settled: false }))
    }
    client.on('error', onError)
    call.signal.addEventListener('abort', onAbort, { once: true })
  })
  lost.catch(() => undefined)
  function onError(): void {
    broken = true
  }
  try {
    if (call.signal.aborted)
      throw new AdapterError('timeout', 'the time for this call is over', { settled: true })
    return await Promise.race([work(client), lost])
  } catch (error) {
    throw toAdapterError(error, true)
  } finally {
    call.signal.removeEventListener('abort', onAbort)
    client.off('error', onError)
    client.release(broken)
  }
}

/** A connection to one database of the same server, closed afterwards. */
export async function withDatabase<T>(
  server: Server,
  database: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(clientConfig(server, database))
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}
