import pg from 'pg'
import { connect } from './postgres.ts'

/** Whether a login with this URL works now. */
export async function canLogIn(uri: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: uri })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

export interface OpenSession {
  readonly client: pg.Client
  /** Resolves when the server has closed it. */
  readonly closed: Promise<void>
}

/** A session that stays open until the server ends it. */
export async function openSession(uri: string): Promise<OpenSession> {
  const client = new pg.Client({ connectionString: uri })
  const closed = new Promise<void>((resolve) => {
    client.on('error', () => resolve())
    client.on('end', () => resolve())
  })
  await client.connect()
  return { client, closed }
}

/** The users of one store that exist on a server. */
export async function taskRoles(serverUrl: string, storeId: string): Promise<string[]> {
  const client = await connect(serverUrl)
  const roles = await client.query<{ rolname: string }>(
    'select rolname from pg_roles where starts_with(rolname, $1)',
    [`tg_${storeId}_`],
  )
  await client.end()
  return roles.rows.map(({ rolname }) => rolname)
}
