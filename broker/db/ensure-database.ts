import pg from 'pg'
import type { Secret } from '../secret.ts'
import { SQLSTATE, sqlState } from './store-error.ts'

/** Creates a database unless it is there. Answers whether it was created. */
export async function ensureDatabase(adminUrl: Secret<string>, name: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: adminUrl.reveal() })
  await client.connect()
  try {
    const found = await client.query('select from pg_database where datname = $1', [name])
    if (found.rowCount !== 0) return false
    await client.query(`create database ${client.escapeIdentifier(name)}`)
    return true
  } catch (error) {
    if (sqlState(error) === SQLSTATE.duplicateDatabase) return false
    throw error
  } finally {
    await client.end()
  }
}
