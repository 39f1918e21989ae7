import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** The superuser's URL of the server that all tests of this run share. */
export function serverUrl(): string {
  return inject('serverUrl')
}

export interface FreshDatabase {
  readonly url: string
  drop(): Promise<void>
}

/** An empty database that no other test knows. Roles and settings of the server are shared all the same. */
export async function freshDatabase(name = 'test'): Promise<FreshDatabase> {
  const database = `${name.slice(0, 40)}_${randomBytes(6).toString('hex')}`
  await onServer(`create database ${pg.escapeIdentifier(database)}`)
  const url = new URL(serverUrl())
  url.pathname = `/${encodeURIComponent(database)}`
  return {
    url: url.href,
    drop: () => onServer(`drop database if exists ${pg.escapeIdentifier(database)} with (force)`),
  }
}

/** A session that a test may see killed: its errors reach the statements that it runs, and nothing else. */
export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function onServer(statement: string): Promise<void> {
  const client = await connect(serverUrl())
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
