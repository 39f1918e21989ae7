import { expect } from 'vitest'
import type { Adapter, Revoked } from '../../broker/adapter.ts'
import { callFor, type IssuedUser, type PostgresFixture } from '../contract/postgres-fixture.ts'
import { canLogIn, openSession } from '../support/database-user.ts'

export const GONE: Revoked = { access: 'ended', removed: true }

export function withPassword(uri: string, password: string): string {
  const url = new URL(uri)
  url.password = password
  return url.href
}

/** Revokes, and looks at what everyone can see of it. */
export async function expectWithdrawn(
  fixture: PostgresFixture,
  adapter: Adapter,
  user: IssuedUser,
): Promise<void> {
  expect(await adapter.revoke([user.handle], callFor(15_000))).toEqual([GONE])
  expect(await canLogIn(user.uri)).toBe(false)
  expect(await roleExists(fixture, user)).toBe(false)
  expect(await sessionsOf(fixture, user)).toBe(0)
}

export async function roleExists(fixture: PostgresFixture, { role }: IssuedUser): Promise<boolean> {
  const { rowCount } = await fixture.root.query('select from pg_roles where rolname = $1', [role])
  return rowCount === 1
}

/** Sessions of the user, and of roles that are not there any more. */
export async function sessionsOf(fixture: PostgresFixture, { role }: IssuedUser): Promise<number> {
  const { rows } = await fixture.root.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity as a left join pg_roles as r on r.oid = a.usesysid
     where a.datname = $2 and a.usesysid is not null and (r.oid is null or r.rolname = $1)`,
    [role, fixture.database],
  )
  return rows[0]?.n ?? -1
}

/** Another user of the same access, who must not notice anything. */
export interface Bystander {
  readonly user: IssuedUser
  expectUnharmed(): Promise<void>
  end(): Promise<void>
}

export async function startBystander(fixture: PostgresFixture, adapter: Adapter): Promise<Bystander> {
  const user = await fixture.issue(adapter)
  const { client } = await openSession(user.uri)
  return {
    user,
    async expectUnharmed() {
      expect((await client.query('select count(*)::int as n from orders')).rows[0].n).toBeGreaterThan(0)
      expect(await canLogIn(user.uri)).toBe(true)
      expect(await roleExists(fixture, user)).toBe(true)
    },
    async end() {
      await client.end()
      await expectWithdrawn(fixture, adapter, user)
    },
  }
}
