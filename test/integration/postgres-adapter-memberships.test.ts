import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import { callFor, createPostgresFixture, type PostgresFixture } from '../contract/postgres-fixture.ts'
import { canLogIn } from '../support/database-user.ts'
import { connect } from '../support/postgres.ts'
import { expectWithdrawn, GONE, startBystander, type Bystander } from './postgres-adapter-steps.ts'

describe.each(['superuser', 'least privilege'] as const)(
  'what a user does to roles, withdrawn as %s:',
  (kind) => {
    let fixture: PostgresFixture
    let adapter: Adapter
    let bystander: Bystander
    let version: number

    beforeAll(async () => {
      fixture = await createPostgresFixture(kind)
      adapter = fixture.adapter()
      bystander = await startBystander(fixture, adapter)
      const { rows } = await fixture.root.query(
        `select current_setting('server_version_num')::int as version`,
      )
      version = rows[0].version
    })

    afterAll(async () => {
      await bystander.expectUnharmed()
      await bystander.end()
      await fixture[Symbol.asyncDispose]()
    })

    /** From PostgreSQL 15 on, a user may not grant itself to anybody. */
    async function expectNoSelfGrant(to: string): Promise<void> {
      const user = await fixture.issue(adapter)
      const client = await connect(user.uri)
      await expect(client.query(`grant ${user.role} to ${to}`)).rejects.toThrow()
      await expectWithdrawn(fixture, adapter, user)
    }

    it('what it could not do stays undone', async () => {
      const user = await fixture.issue(adapter)
      const client = await connect(user.uri)
      for (const sql of [
        `alter role SELF valid until 'infinity'`,
        'alter role SELF createrole',
        'alter role SELF superuser',
        `create role mate_${fixture.storeId} login`,
        `grant ${fixture.writer} to ${bystander.user.role}`,
        `revoke ${fixture.writer} from ${bystander.user.role}`,
        `alter role ${bystander.user.role} password 'x'`,
        `grant ${fixture.admin} to SELF`,
      ]) {
        await expect(client.query(sql.replaceAll('SELF', user.role)), sql).rejects.toThrow()
      }
      await expectWithdrawn(fixture, adapter, user)
    })

    it('whom it granted itself to (PostgreSQL 14 lets it) has nothing of it', async () => {
      if (version >= 150_000) return expectNoSelfGrant(bystander.user.role)
      const reader = await fixture.issue(adapter, { access: 'read' })
      const mate = await connect(reader.uri)
      const user = await fixture.issue(adapter)
      const client = await connect(user.uri)
      await client.query(`grant ${user.role} to ${reader.role} with admin option`)
      await client.query('create table private (i int)')
      await mate.query(`set role ${user.role}`)
      await mate.query('update orders set item = item')
      await expectWithdrawn(fixture, adapter, user)
      await expect(mate.query('update orders set item = item')).rejects.toThrow(/permission denied/)
      await expect(mate.query('select * from private')).rejects.toThrow(/permission denied/)
      await mate.end()
      expect(await adapter.revoke([reader.handle], callFor(10_000))).toEqual([GONE])
    })

    it('granting itself to the administrator, and not committing it (PostgreSQL 14 lets it), is no hold', async () => {
      if (version >= 150_000) return expectNoSelfGrant(fixture.admin)
      const user = await fixture.issue(adapter)
      const client = await connect(user.uri)
      await client.query('create table held (i int)')
      await client.query('begin')
      await client.query(`grant ${user.role} to ${fixture.admin}`)
      await expectWithdrawn(fixture, adapter, user)
      expect(await canLogIn(user.uri)).toBe(false)
    })
  },
)
