import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import {
  callFor,
  createPostgresFixture,
  type IssuedUser,
  type PostgresFixture,
} from '../contract/postgres-fixture.ts'
import { canLogIn } from '../support/database-user.ts'
import { connect, freshDatabase } from '../support/postgres.ts'
import { expectWithdrawn, GONE, roleExists, sessionsOf } from './postgres-adapter-steps.ts'

describe.each(['superuser', 'least privilege'] as const)(
  'a withdrawal as %s that cannot be completed',
  (kind) => {
    let fixture: PostgresFixture
    let adapter: Adapter

    beforeAll(async () => {
      fixture = await createPostgresFixture(kind)
      adapter = fixture.adapter()
    })

    afterAll(async () => {
      await fixture[Symbol.asyncDispose]()
    })

    /** A user that has done this, and whose session stays open. */
    async function userWho(...statements: string[]): Promise<IssuedUser> {
      const user = await fixture.issue(adapter)
      const client = await connect(user.uri)
      for (const sql of statements) await client.query(sql)
      return user
    }

    async function expectResidue(user: IssuedUser, cause: RegExp): Promise<void> {
      const [outcome] = await adapter.revoke([user.handle], callFor(15_000))
      expect(outcome).toMatchObject({
        access: 'ended',
        removed: false,
        residue: expect.stringMatching(cause),
      })
      expect(await canLogIn(user.uri)).toBe(false)
      expect(await sessionsOf(fixture, user)).toBe(0)
      expect(await roleExists(fixture, user)).toBe(true)
    }

    it('for a locked table ends access, tells why, and is completed later', async () => {
      const user = await userWho('create table locked (i int)')
      await fixture.root.query('begin')
      await fixture.root.query('lock table locked')
      await expectResidue(user, /^database \S+: another transaction holds a lock/)
      await fixture.root.query('rollback')
      await expectWithdrawn(fixture, adapter, user)
    })

    it('for a closed database ends access, tells why, and is completed later', async () => {
      const other = await freshDatabase('closed')
      const root = await connect(other.url)
      await root.query(`grant create on schema public to ${fixture.writer}`)
      const user = await fixture.issue(adapter)
      const there = new URL(user.uri)
      there.pathname = new URL(other.url).pathname
      const client = await connect(there.href)
      await client.query('create table far (i int)')
      const database = `"${decodeURIComponent(there.pathname.slice(1))}"`
      await fixture.root.query(`alter database ${database} allow_connections false`)
      await expectResidue(user, /^database closed_\w+: the server is not in a state to do this/)
      await fixture.root.query(`alter database ${database} allow_connections true`)
      await expectWithdrawn(fixture, adapter, user)
      await root.query(`drop owned by ${fixture.writer} cascade`)
      await root.end()
      await other.drop()
    })

    it('for an owner that is gone ends access and names it', async () => {
      const heir = `heir_${fixture.storeId}`
      await fixture.root.query(`create role ${heir}`)
      const odd = fixture.adapter({}, { write: { memberOf: fixture.writer, owner: heir } })
      const user = await fixture.issue(odd)
      const client = await connect(user.uri)
      await client.query('create table heirless (i int)')
      await client.end()
      await fixture.root.query(`drop role ${heir}`)
      await expectResidue(user, new RegExp(`${heir}, who inherits what it owns, does not exist`))
      await fixture.root.query(`create role ${heir}`)
      if (kind === 'least privilege') {
        await expectResidue(user, /the administrator must be a member of heir_/)
        await fixture.root.query(`grant ${heir} to ${fixture.admin}`)
      }
      await expectWithdrawn(fixture, adapter, user)
      await fixture.root.query(`drop owned by ${heir}; drop role ${heir}`)
    })

    it('does not hold up the others of its batch', async () => {
      const table = `held_${kind.length}`
      const troubled = await userWho(`create table ${table} (i int)`)
      const others = await Promise.all(Array.from({ length: 150 }, () => fixture.issue(adapter)))
      const batch = [...others.slice(0, 75), troubled, ...others.slice(75)]
      await fixture.root.query('begin')
      await fixture.root.query(`lock table ${table}`)
      const startedAt = performance.now()
      const outcomes = await adapter.revoke(
        batch.map(({ handle }) => handle),
        callFor(15_000),
      )
      expect(performance.now() - startedAt).toBeLessThan(5_000)
      await fixture.root.query('rollback')
      expect(outcomes[75]).toMatchObject({ access: 'ended', removed: false })
      expect(outcomes.filter((_, index) => index !== 75)).toEqual(others.map(() => GONE))
      await expectWithdrawn(fixture, adapter, troubled)
    })

    it('because a role itself is locked leaves that one open, and withdraws the others', async () => {
      const users = await Promise.all([1, 2, 3].map(() => fixture.issue(adapter)))
      await fixture.root.query('begin')
      await fixture.root.query(`alter role ${users[1]?.role} connection limit 5`)
      const startedAt = performance.now()
      const outcomes = await adapter.revoke(
        users.map(({ handle }) => handle),
        callFor(15_000),
      )
      expect(performance.now() - startedAt).toBeLessThan(6_000)
      await fixture.root.query('rollback')
      expect(outcomes).toMatchObject([GONE, { access: 'open', error: { settled: true } }, GONE])
      for (const user of users) expect(await adapter.revoke([user.handle], callFor(10_000))).toEqual([GONE])
    })

    it('keeps its answer within the time that it is given', async () => {
      const user = await userWho('create table slow (i int)')
      await fixture.root.query('begin')
      await fixture.root.query('lock table slow')
      const [outcome] = await adapter.revoke([user.handle], callFor(900))
      await fixture.root.query('rollback')
      expect(outcome).toMatchObject({ access: 'ended', removed: false })
      await expectWithdrawn(fixture, adapter, user)
    })

    it('because the role is on another server leaves it open; as an alias of this one it is found', async () => {
      const user = await fixture.issue(adapter)
      const moved = { ...user.handle, server: 'old-name.example.com:5432' }
      const [outcome] = await adapter.revoke([moved], callFor(10_000))
      expect(outcome).toMatchObject({
        access: 'open',
        error: { message: expect.stringContaining('add the former to aliases') },
      })
      expect(await canLogIn(user.uri)).toBe(true)
      const renamed = fixture.adapter({ aliases: ['Old-Name.example.com:5432'] })
      expect(await renamed.revoke([moved], callFor(10_000))).toEqual([GONE])
      expect(await canLogIn(user.uri)).toBe(false)
    })

    it('does not touch a role that is none of ours, whatever the handle says', async () => {
      const user = await fixture.issue(adapter)
      const outcomes = await adapter.revoke([{ ...user.handle, role: fixture.writer }], callFor(10_000))
      expect(outcomes).toMatchObject([{ access: 'open', error: { failure: 'failed' } }])
      await expectWithdrawn(fixture, adapter, user)
    })
  },
)
