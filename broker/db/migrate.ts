import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { StartupError, messageOf } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { storeClientConfig } from './database.ts'
import { readMigrations, type Migration } from './migrations.ts'

/** The oldest PostgreSQL that the store runs on, as `server_version_num`. */
const OLDEST_SERVER = 140_000
/** Any constant will do, as long as every release uses this one: "tgrt". */
const MIGRATION_LOCK = 0x74677274
/** Long enough for twenty brokers that start at once to take their turns. */
const LOCK_TIMEOUT = '120s'

export interface StoreFacts {
  /** Tells this store from all others on shared backends: 8 characters of `[0-9a-z]`. */
  readonly storeId: string
  readonly applied: readonly Migration[]
}

/**
 * Brings the store's schema up to this release and tells its identity. Any number of processes may call it at once.
 *
 * @throws {StartupError} the server is away, too old, newer than this release, or its schema is not ours
 */
export async function migrate(url: Secret<string>): Promise<StoreFacts> {
  const client = new pg.Client(storeClientConfig(url, 'taskgrant migrate'))
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    throw new StartupError(`the store cannot be reached: ${messageOf(error)}; check store.url`, [], {
      cause: error,
    })
  }
  try {
    await requireServerVersion(client)
    await client.query(`set lock_timeout = '${LOCK_TIMEOUT}'`)
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    const storeId = await ensureSchema(client)
    return { storeId, applied: await applyMissing(client, await readMigrations()) }
  } catch (error) {
    if (error instanceof StartupError) throw error
    throw new StartupError(`the store cannot be migrated: ${messageOf(error)}`, [], { cause: error })
  } finally {
    // Ending the session releases the lock.
    await client.end().catch(() => undefined)
  }
}

async function requireServerVersion(client: pg.Client): Promise<void> {
  const answer = await client.query<{ server_version_num: string }>('show server_version_num')
  const version = Number(answer.rows[0]?.server_version_num)
  if (version < OLDEST_SERVER) {
    throw new StartupError(
      `the store runs PostgreSQL ${Math.floor(version / 10_000)}; taskgrant needs 14 or newer`,
    )
  }
}

async function ensureSchema(client: pg.Client): Promise<string> {
  const found = await client.query<{ schema: boolean; store: string | null }>(
    `select exists (select from pg_namespace where nspname = 'taskgrant') as schema,
            to_regclass('taskgrant.store')::text as store`,
  )
  const { schema, store } = found.rows[0] ?? { schema: false, store: null }
  if (store === null) {
    if (schema) {
      throw new StartupError(
        'the database has a schema "taskgrant" that is not ours: use another database, or rename that schema',
      )
    }
    await inTransaction(client, async () => {
      await client.query('create schema taskgrant')
      await client.query(
        `create table taskgrant.store (
           only_row boolean primary key default true check (only_row),
           store_id text not null,
           created_at timestamptz not null default now())`,
      )
      await client.query(
        `create table taskgrant.migrations (
           version integer primary key, name text not null, applied_at timestamptz not null default now())`,
      )
      await client.query('insert into taskgrant.store (store_id) values ($1)', [
        randomBytes(4).toString('hex'),
      ])
    })
  }
  const row = await client.query<{ store_id: string }>('select store_id from taskgrant.store')
  const storeId = row.rows[0]?.store_id
  if (storeId === undefined)
    throw new StartupError('the store has lost its identity: table taskgrant.store is empty')
  return storeId
}

async function applyMissing(
  client: pg.Client,
  migrations: readonly Migration[],
): Promise<readonly Migration[]> {
  const rows = await client.query<{ version: number }>('select version from taskgrant.migrations')
  const applied = new Set(rows.rows.map((row) => row.version))
  const newest = migrations.at(-1)?.version ?? 0
  const unknown = [...applied].filter((version) => version > newest)
  if (unknown.length > 0) {
    throw new StartupError(
      `the store is at schema ${Math.max(...unknown)}, this release knows up to ${newest}: upgrade this broker`,
    )
  }
  const missing = migrations.filter((migration) => !applied.has(migration.version))
  for (const migration of missing) {
    await inTransaction(client, async () => {
      await client.query('insert into taskgrant.migrations (version, name) values ($1, $2)', [
        migration.version,
        migration.name,
      ])
      await client.query(migration.sql)
    })
  }
  return missing
}

async function inTransaction(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query('begin')
  try {
    await work()
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}
