import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import {
  callFor,
  createPostgresFixture,
  type IssuedUser,
  type PostgresFixture,
} from '../contract/postgres-fixture.ts'
import { connect, freshDatabase } from '../support/postgres.ts'
import { expectWithdrawn, startBystander, type Bystander } from './postgres-adapter-steps.ts'

describe.each(['superuser', 'least privilege'] as const)(
  'what a user leaves behind, withdrawn as %s:',
  (kind) => {
    let fixture: PostgresFixture
    let adapter: Adapter
    let bystander: Bystander

    beforeAll(async () => {
      fixture = await createPostgresFixture(kind)
      adapter = fixture.adapter()
      bystander = await startBystander(fixture, adapter)
    })

    afterAll(async () => {
      await bystander.expectUnharmed()
      await bystander.end()
      await fixture[Symbol.asyncDispose]()
    })

    /** Has a user of its own do this, and withdraws it while its session is open. */
    async function afterDoing(...statements: string[]): Promise<IssuedUser> {
      const user = await fixture.issue(adapter)
      const client = await connect(user.uri)
      for (const sql of statements) await client.query(sql.replaceAll('SELF', user.role))
      await expectWithdrawn(fixture, adapter, user)
      return user
    }

    async function ownerOf(
      catalog: string,
      name: string,
      column: string,
      owner: string,
    ): Promise<string | undefined> {
      const { rows } = await fixture.root.query<{ owner: string }>(
        `select ${owner}::regrole::text as owner from ${catalog} where ${column} = $1`,
        [name],
      )
      return rows[0]?.owner
    }

    async function asBystander(work: (client: pg.Client) => Promise<unknown>): Promise<unknown> {
      const client = await connect(bystander.user.uri)
      try {
        return await work(client)
      } finally {
        await client.end()
      }
    }

    it.each([
      [
        'tables and their contents',
        'create table t1 (i serial primary key)',
        'pg_class',
        't1',
        'relname',
        'relowner',
      ],
      ['schemas', 'create schema s1', 'pg_namespace', 's1', 'nspname', 'nspowner'],
      [
        'functions',
        `create function f1() returns int language sql return 1`,
        'pg_proc',
        'f1',
        'proname',
        'proowner',
      ],
      [
        'procedures',
        `create procedure p1() language sql as 'select 1'`,
        'pg_proc',
        'p1',
        'proname',
        'proowner',
      ],
      ['types', `create type e1 as enum ('a')`, 'pg_type', 'e1', 'typname', 'typowner'],
      ['domains', 'create domain d1 as int check (value > 0)', 'pg_type', 'd1', 'typname', 'typowner'],
      ['sequences', 'create sequence q1', 'pg_class', 'q1', 'relname', 'relowner'],
      ['views', 'create view v1 as select 1 as one', 'pg_class', 'v1', 'relname', 'relowner'],
      [
        'materialised views',
        'create materialized view m1 as select 1 as one',
        'pg_class',
        'm1',
        'relname',
        'relowner',
      ],
      ['publications', 'create publication pub1', 'pg_publication', 'pub1', 'pubname', 'pubowner'],
      [
        'operators',
        'create operator === (leftarg = int, rightarg = int, function = int4eq)',
        'pg_operator',
        '===',
        'oprname',
        'oprowner',
      ],
      ['collations', `create collation c1 (locale = 'C')`, 'pg_collation', 'c1', 'collname', 'collowner'],
    ])('%s pass to the owner', async (_what, sql, catalog, name, column, owner) => {
      await afterDoing(sql)
      expect(await ownerOf(catalog, name, column, owner)).toBe(fixture.writer)
    })

    it('large objects pass to the owner', async () => {
      await afterDoing(`select lo_from_bytea(471100, 'kept')`)
      expect(await ownerOf('pg_largeobject_metadata', '471100', 'oid', 'lomowner')).toBe(fixture.writer)
    })

    it('temporary tables go', async () => {
      await afterDoing('create temp table t as select 1 as i', 'create temp view v as select * from t')
    })

    it('its settings go', async () => {
      const database = `"${fixture.database}"`
      await afterDoing(
        `alter role SELF set work_mem = '1MB'`,
        `alter role SELF in database ${database} set work_mem = '2MB'`,
      )
    })

    it('its default privileges go', async () => {
      await afterDoing(
        'alter default privileges grant all on tables to public',
        'create schema s2',
        'alter default privileges in schema s2 grant select on tables to public',
      )
      const { rowCount } = await fixture.root.query('select from pg_default_acl')
      expect(rowCount).toBe(0)
    })

    it('what it granted on its own objects stays, by the owner', async () => {
      await afterDoing(
        'create table shared (i int)',
        `grant select on shared to ${fixture.reader}`,
        'grant insert on shared to SELF',
      )
      const { rows } = await fixture.root.query(
        `select relacl::text as acl from pg_class where relname = 'shared'`,
      )
      expect(rows[0].acl).toContain(`${fixture.reader}=r/${fixture.writer}`)
      expect(rows[0].acl).not.toContain('tg_')
    })

    it('its row level policies pass with the table', async () => {
      await afterDoing(
        'create table guarded (i int)',
        'alter table guarded enable row level security',
        'create policy own on guarded to SELF using (true)',
      )
      expect(await ownerOf('pg_class', 'guarded', 'relname', 'relowner')).toBe(fixture.writer)
    })

    it('its foreign servers pass to the owner, its user mappings go', async () => {
      await fixture.root.query(
        `create foreign data wrapper w1; grant usage on foreign data wrapper w1 to ${fixture.writer}`,
      )
      await afterDoing(
        'create server srv1 foreign data wrapper w1',
        `create user mapping for SELF server srv1 options (password 'x')`,
      )
      expect(await ownerOf('pg_foreign_server', 'srv1', 'srvname', 'srvowner')).toBe(fixture.writer)
      expect((await fixture.root.query('select from pg_user_mapping')).rowCount).toBe(0)
    })

    it('functions no longer run with the rights of their owner', async () => {
      await afterDoing(
        `create function door() returns text language sql security definer as 'select current_user::text'`,
        `create procedure "Door 2"(inout who text, "x y" int default 1) language plpgsql security definer
         as 'begin who := current_user; end'`,
      )
      const { rows } = await fixture.root.query(
        `select prosecdef from pg_proc where proname in ('door', 'Door 2')`,
      )
      expect(rows).toEqual([{ prosecdef: false }, { prosecdef: false }])
      await asBystander(async (client) => {
        expect((await client.query('select door() as who')).rows[0].who).toBe(bystander.user.role)
      })
    })

    it('views and rules no longer reach tables with the rights of their owner', async () => {
      await afterDoing(
        'create view "door 3" as select * from orders',
        'grant all on "door 3" to public',
        'create table bell (i int)',
        'grant insert on bell to public',
        'create rule ring as on insert to bell do also delete from orders where false',
        'create rule swing as on delete to "door 3" do instead delete from orders where false',
      )
      const reader = await fixture.issue(adapter, { access: 'read' })
      const client = await connect(reader.uri)
      expect((await client.query('select count(*)::int as n from orders')).rows[0].n).toBe(5)
      await expect(client.query(`insert into "door 3" values (9, 'x')`)).rejects.toThrow(/permission denied/)
      await expect(client.query(`delete from "door 3"`)).rejects.toThrow(/permission denied/)
      await client.query('insert into bell values (1)')
      await client.end()
      expect((await fixture.root.query('select count(*)::int as n from orders')).rows[0].n).toBe(5)
      await adapter.revoke([reader.handle], callFor(10_000))
      const rules = await fixture.root.query(`select from pg_rules where tablename in ('bell', 'door 3')`)
      expect(rules.rowCount).toBe(0)
    })

    it('objects in other databases pass to the owner there', async () => {
      const others = [await freshDatabase('other'), await freshDatabase('"odd" näme')]
      const user = await fixture.issue(adapter)
      for (const { url } of others) {
        const root = await connect(url)
        await root.query(`grant create on schema public to ${fixture.writer}`)
        await root.end()
        const there = new URL(user.uri)
        there.pathname = new URL(url).pathname
        const client = await connect(there.href)
        await client.query('create table far (i int)')
        await client.end()
      }
      await expectWithdrawn(fixture, adapter, user)
      for (const { url, drop } of others) {
        const root = await connect(url)
        const { rows } = await root.query(`select tableowner from pg_tables where tablename = 'far'`)
        expect(rows).toEqual([{ tableowner: fixture.writer }])
        // The fixture drops the role at its end.
        await root.query(`drop owned by ${fixture.writer} cascade`)
        await root.end()
        await drop()
      }
    })

    it('its prepared transactions are rolled back', async () => {
      await afterDoing(
        'begin',
        'create table never (i int)',
        'lock table orders in access exclusive mode',
        `prepare transaction 'SELF-1'`,
        'begin',
        'select 1',
        `prepare transaction 'o''dd "2"-SELF'`,
      )
      expect(
        (await fixture.root.query('select from pg_prepared_xacts where database = current_database()'))
          .rowCount,
      ).toBe(0)
      expect(await ownerOf('pg_class', 'never', 'relname', 'relowner')).toBe(undefined)
    })
  },
)
