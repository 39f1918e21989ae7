import { setTimeout as delay } from 'node:timers/promises'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import { createPostgresFixture, type IssuedUser, type PostgresFixture } from '../contract/postgres-fixture.ts'
import { connect } from '../support/postgres.ts'
import { canLogIn, openSession } from '../support/database-user.ts'
import {
  expectWithdrawn,
  sessionsOf,
  startBystander,
  withPassword,
  type Bystander,
} from './postgres-adapter-steps.ts'

describe.each(['superuser', 'least privilege'] as const)('withdrawal as %s ends', (kind) => {
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

  const issue = (): Promise<IssuedUser> => fixture.issue(adapter)
  const withdraw = (user: IssuedUser): Promise<void> => expectWithdrawn(fixture, adapter, user)

  it.each([
    ['is idle', []],
    ['has locked rows in a transaction', ['begin', 'update orders set item = item']],
    [
      'holds advisory locks, listens, and has a cursor',
      [
        'select pg_advisory_lock(4711)',
        'listen news',
        'begin',
        'declare c cursor with hold for select 1',
        'commit',
      ],
    ],
    ['has become another role', ['set role WRITER']],
    ['is in a failed transaction', ['begin', 'select 1 / 0']],
    [
      'has shut out timeouts',
      ['set statement_timeout = 0', `set idle_in_transaction_session_timeout = 0`, 'begin'],
    ],
  ])('a session that %s', async (_what, statements) => {
    const user = await issue()
    const { client, closed } = await openSession(user.uri)
    for (const sql of statements) {
      await client.query(sql.replace('WRITER', fixture.writer)).catch(() => undefined)
    }
    await withdraw(user)
    await closed
  })

  it.each([
    ['sleeps', 'select pg_sleep(60)'],
    ['computes', 'select count(*) from generate_series(1, 1000000000)'],
    [
      'ignores cancellation',
      `do $$ begin loop begin perform pg_sleep(60);
        exception when query_canceled or others then null; end; end loop; end $$`,
    ],
  ])('a session that %s', async (_what, sql) => {
    const user = await issue()
    const { client, closed } = await openSession(user.uri)
    const running = client.query(sql).catch(() => 'ended')
    await delay(100)
    await withdraw(user)
    await closed
    expect(await running).toBe('ended')
  })

  it('a session that waits for a lock', async () => {
    const user = await issue()
    await fixture.root.query('begin')
    await fixture.root.query('lock table orders in access exclusive mode')
    const { client, closed } = await openSession(user.uri)
    const running = client.query('select * from orders').catch(() => 'ended')
    await delay(50)
    await withdraw(user)
    await fixture.root.query('rollback')
    await closed
    expect(await running).toBe('ended')
  })

  it('a session that runs parallel workers', async () => {
    const user = await issue()
    const { client, closed } = await openSession(user.uri)
    await client.query('create table big as select i from generate_series(1, 300000) as i')
    await client.query('alter table big set (parallel_workers = 2)')
    await client.query(
      'set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0',
    )
    const running = client
      .query('select count(*) from big as a, big as b where a.i <> b.i')
      .catch(() => 'ended')
    await delay(300)
    await withdraw(user)
    await closed
    expect(await running).toBe('ended')
  })

  it('a session whose client does not read what it asked for', async () => {
    const user = await issue()
    const { client, closed } = await openSession(user.uri)
    // Not in the types, and the only way to stop reading.
    const { stream } = (client as unknown as { connection: { stream: { pause(): void; resume(): void } } })
      .connection
    client.query(`select repeat('x', 10000) from generate_series(1, 100000)`).catch(() => undefined)
    stream.pause()
    await delay(100)
    await withdraw(user)
    stream.resume()
    await closed
  })

  it('a session in another database', async () => {
    const user = await issue()
    const elsewhere = new URL(user.uri)
    elsewhere.pathname = '/postgres'
    const { closed } = await openSession(elsewhere.href)
    await withdraw(user)
    await closed
  })

  it('thirty sessions at once', async () => {
    const user = await issue()
    const sessions = await Promise.all(Array.from({ length: 30 }, () => openSession(user.uri)))
    await withdraw(user)
    await Promise.all(sessions.map(({ closed }) => closed))
  })

  it('a user that keeps logging in', async () => {
    const user = await issue()
    const storm = new AbortController()
    let logins = 0
    const clients = Array.from({ length: 10 }, async () => {
      while (!storm.signal.aborted) {
        const client = new pg.Client({ connectionString: user.uri })
        client.on('error', () => undefined)
        const isIn = await client.connect().then(
          () => true,
          () => false,
        )
        if (isIn) logins += 1
        if (isIn) await client.query('select pg_sleep(0.002)').catch(() => undefined)
        // Some stay, so that there is always someone to end.
        if (Math.random() < 0.7) await client.end().catch(() => undefined)
      }
    })
    await delay(300)
    expect(
      await adapter.revoke([user.handle], { signal: AbortSignal.timeout(15_000), timeoutMs: 15_000 }),
    ).toEqual([{ access: 'ended', removed: true }])
    const loginsAtEnd = logins
    expect(await sessionsOf(fixture, user)).toBe(0)
    await delay(300)
    expect(logins).toBe(loginsAtEnd)
    expect(loginsAtEnd).toBeGreaterThan(0)
    storm.abort()
    await Promise.all(clients)
    await withdraw(user)
  })

  it('a connection that has not logged in yet', async () => {
    const user = await issue()
    const { hostname, port } = new URL(user.uri)
    const socket = connectTcp(Number(port), hostname)
    await once(socket, 'connect')
    const startup = Buffer.from(
      `\0\0\0\0\0\x03\0\0user\0${user.role}\0database\0${fixture.database}\0\0`,
      'latin1',
    )
    startup.writeInt32BE(startup.length)
    socket.write(startup)
    await once(socket, 'data')
    await withdraw(user)
    socket.destroy()
  })

  it('a login that was allowed and takes its time to become a session', async () => {
    const user = await issue()
    const others = [0, 1].map(() => startSlowly(bystander.user.uri))
    const logins = [0, 1, 2].map(() => startSlowly(user.uri))
    await delay(300)
    await withdraw(user)
    expect(await Promise.all(logins.map((login) => login.use()))).toEqual(['ended', 'ended', 'ended'])
    expect(await Promise.all(others.map((login) => login.use()))).toEqual(['works', 'works'])
    expect(await sessionsOf(fixture, user)).toBe(0)
  })

  it('a user that has changed its password', async () => {
    const user = await issue()
    const session = await connect(user.uri)
    await session.query(`alter role ${user.role} password 'mine'`)
    const own = withPassword(user.uri, 'mine')
    expect(await canLogIn(own)).toBe(true)
    await session.end()
    await withdraw(user)
    expect(await canLogIn(own)).toBe(false)
  })

  it('a user that holds its own role locked', async () => {
    const user = await issue()
    const { client, closed } = await openSession(user.uri)
    await client.query('begin')
    await client.query(`alter role ${user.role} password 'mine'`)
    await withdraw(user)
    await closed
  })

  it('a user that locks its own role again and again', async () => {
    const user = await issue()
    const own = withPassword(user.uri, 'mine')
    const storm = new AbortController()
    const clients = Array.from({ length: 6 }, async (_, index) => {
      while (!storm.signal.aborted) {
        const client = new pg.Client({ connectionString: index === 0 ? user.uri : own })
        client.on('error', () => undefined)
        await client
          .connect()
          .then(() =>
            client.query(`begin; alter role ${user.role} password 'mine'; select pg_sleep(0.01); commit`),
          )
          .catch(() => undefined)
        await client.end().catch(() => undefined)
      }
    })
    await delay(300)
    await withdraw(user)
    storm.abort()
    await Promise.all(clients)
    expect(await sessionsOf(fixture, user)).toBe(0)
    expect(await canLogIn(own)).toBe(false)
  })
})

/** A client that has the server wait after it was let in, and then wants to work. */
function startSlowly(uri: string): { use(): Promise<'works' | 'ended'> } {
  const client = new pg.Client({ connectionString: uri, options: '-c post_auth_delay=2' })
  client.on('error', () => undefined)
  const connecting = client.connect()
  connecting.catch(() => undefined)
  return {
    async use() {
      try {
        await connecting
        await client.query('select 1')
        return 'works'
      } catch {
        return 'ended'
      } finally {
        await client.end().catch(() => undefined)
      }
    },
  }
}
