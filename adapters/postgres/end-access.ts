import type { ClientBase } from 'pg'
import { AdapterError } from '../../broker/adapter.ts'
import { sleep } from '../../broker/clock.ts'
import { quoteIdentifier } from './quote.ts'
import { serverVersion, terminateSessions, type FoundRole } from './roles.ts'

const QUIET_MS = 5
const PAUSE_MS = 10
const WAIT_MS = 5_000

/**
 * Takes everything from roles that their sessions could use, in one transaction: the login, what they are members of,
 * and who is a member of them (up to PostgreSQL 15 a user may grant itself to others). Only then are sessions ended:
 * one that slips in while we look has nothing.
 */
export async function disarm(client: ClientBase, roles: readonly FoundRole[]): Promise<void> {
  const oids = roles.map(({ oid }) => oid)
  const memberships = await client.query<{ role: string; member: string; ours: boolean; theirs: boolean }>(
    `select r.rolname as role, u.rolname as member, m.roleid = any($1::oid[]) as theirs, m.member = any($1::oid[]) as ours
     from pg_auth_members as m join pg_roles as r on r.oid = m.roleid join pg_roles as u on u.oid = m.member
     where m.roleid = any($1::oid[]) or m.member = any($1::oid[])`,
    [oids],
  )
  const me = (await client.query<{ me: string }>('select current_user as me')).rows[0]?.me
  const statements = roles.map(({ name }) => `alter role ${quoteIdentifier(name)} nologin`)
  for (const { role, member } of memberships.rows) {
    if (member !== me)
      statements.push(`revoke ${quoteIdentifier(role)} from ${quoteIdentifier(member)} cascade`)
  }
  await client.query('begin')
  try {
    for (const statement of statements) await client.query(statement)
    // Needed to end the sessions of a role and to take over what it owns, unless we are a superuser.
    const needed = await client.query<{ super: boolean }>(
      'select rolsuper as super from pg_roles where rolname = current_user',
    )
    if (needed.rows[0]?.super !== true) {
      const options = (await serverVersion(client)) >= 160_000 ? ' with inherit true, set true' : ''
      const names = roles.map(({ name }) => quoteIdentifier(name)).join(', ')
      await client.query(`grant ${names} to current_user${options}`)
    }
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/**
 * Ends all sessions of these roles and waits until none is left. A login that passed its check before the role was
 * disarmed shows up a little later, so that it takes two looks without a session to be sure.
 *
 * @throws {AdapterError} if sessions are still there after five seconds
 */
export async function endSessions(client: ClientBase, oids: readonly string[]): Promise<void> {
  const deadline = Date.now() + WAIT_MS
  let quiet = 0
  while (quiet < 2) {
    const sessions = await terminateSessions(client, oids)
    quiet = sessions === 0 ? quiet + 1 : 0
    if (quiet < 2) await sleep(sessions === 0 ? QUIET_MS : PAUSE_MS)
    if (Date.now() > deadline) {
      throw new AdapterError('failed', 'sessions on the backend do not end', { settled: true })
    }
  }
}
