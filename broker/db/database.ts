import pg from 'pg'
import type { Logger } from '../logger.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { isRetryable, storeError } from './store-error.ts'

declare const opaque: unique symbol

/**
 * Where statements run: inside one transaction, or each on its own. Only stores can look inside (`run` in
 * `query.ts`), so that SQL stays in them.
 */
export interface Session {
  readonly [opaque]: 'session'
}

export interface Database extends AsyncDisposable {
  /** Runs each statement on its own, committed when it returns. */
  readonly auto: Session
  /**
   * Runs `work` in one read-committed transaction. Repeats it when Postgres asks for that (deadlock,
   * serialisation), so `work` must do nothing but talk to the store.
   *
   * @throws {BrokerError} `store_unavailable`; after it the outcome of the commit may be unknown
   */
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>
}

export interface DatabaseOptions {
  readonly url: Secret<string>
  readonly poolSize: number
  readonly applicationName: string
  readonly logger: Logger
}

const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 8_000
const ATTEMPTS = 4
/**
 * Every statement of the broker finds its rows by an index, and its plan does not depend on the values. Told so,
 * Postgres plans once per connection instead of every time, and never reads a whole table because it was small when
 * the plan was made.
 */
const PLANNER = '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off'

/** Lets `query.ts` look inside; nothing else imports it. */
export const queryables = new WeakMap<Session, pg.Pool | pg.PoolClient>()

function session(queryable: pg.Pool | pg.PoolClient): Session {
  // The brand exists for the type checker only.
  const key = Object.freeze({}) as Session
  queryables.set(key, queryable)
  return key
}

export function storeClientConfig(url: Secret<string>, applicationName: string): pg.ClientConfig {
  return {
    connectionString: url.reveal(),
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  }
}

/** A pool on the store. Opens connections when they are first needed. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    ...storeClientConfig(options.url, options.applicationName),
    options: PLANNER,
    max: options.poolSize,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    // Ends the wait for a store that accepts and never answers; the server's own limit should come first.
    query_timeout: STATEMENT_TIMEOUT_MS + 2_000,
    idleTimeoutMillis: 30_000,
  })
  // Without a listener, an idle connection that the server closes would end the process.
  pool.on('error', (error) => {
    if (!pool.ending) options.logger.warn({ err: error }, 'store connection lost')
  })

  async function attempt<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await pool.connect().catch((error: unknown) => {
      throw storeError(error)
    })
    let broken = false
    const markBroken = (): void => {
      broken = true
    }
    client.on('error', markBroken)
    try {
      await client.query('begin')
      const result = await work(session(client))
      await client.query('commit')
      return result
    } catch (error) {
      // A connection in an unknown state is thrown away: the server then rolls back by itself.
      await client.query('rollback').catch(markBroken)
      throw error instanceof BrokerError ? error : storeError(error)
    } finally {
      client.off('error', markBroken)
      client.release(broken)
    }
  }

  return {
    auto: session(pool),
    async transaction(work) {
      for (let tries = 1; ; tries += 1) {
        try {
          return await attempt(work)
        } catch (error) {
          if (tries >= ATTEMPTS || !isRetryable(error)) throw error
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await pool.end()
    },
  }
}
