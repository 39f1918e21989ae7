import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { v7 as uuidv7 } from 'uuid'
import { listEvents, placeEvents, recordEvents } from '../../broker/audit/audit-store.ts'
import { eventOf } from '../../broker/audit/event-of.ts'
import { openDatabase, type Database } from '../../broker/db/database.ts'
import { migrate } from '../../broker/db/migrate.ts'
import { createLogger } from '../../broker/logger.ts'
import { Secret } from '../../broker/secret.ts'
import { connect, freshDatabase, type FreshDatabase } from '../support/postgres.ts'

let database: FreshDatabase
let url: Secret<string>

beforeEach(async () => {
  database = await freshDatabase('store')
  url = new Secret(database.url)
})

afterEach(async () => {
  await database.drop()
})

describe('migrating the store', () => {
  it('is safe for twenty brokers at once: one migrates, all agree on its identity', async () => {
    const facts = await Promise.all(Array.from({ length: 20 }, () => migrate(url)))
    expect(new Set(facts.map(({ storeId }) => storeId)).size).toBe(1)
    expect(facts.filter(({ applied }) => applied.length > 0)).toHaveLength(1)
  })

  it('refuses a schema that is not ours', async () => {
    const client = await connect(database.url)
    await client.query('create schema taskgrant')
    await client.end()
    await expect(migrate(url)).rejects.toThrow(/not ours/)
  })

  it('refuses a store that is newer than this release', async () => {
    await migrate(url)
    const client = await connect(database.url)
    await client.query(`insert into taskgrant.migrations (version, name) values (999999, 'future')`)
    await client.end()
    await expect(migrate(url)).rejects.toThrow(/upgrade this broker/)
  })

  it('says that the server is away, without its password', async () => {
    const away = new URL(database.url)
    away.port = '1'
    const error = await migrate(new Secret(away.href)).catch((thrown: unknown) => String(thrown))
    expect(error).toMatch(/cannot be reached/)
    expect(error).not.toContain(away.password)
  })
})

describe('the audit events', () => {
  let db: Database

  beforeEach(async () => {
    await migrate(url)
    db = openDatabase({ url, poolSize: 4, applicationName: 'test', logger: createLogger('silent') })
  })

  afterEach(async () => {
    await db[Symbol.asyncDispose]()
  })

  const event = (reason: string) =>
    eventOf('policy.loaded', { performedBy: { kind: 'broker', part: 'start' } }, { reason })

  it('cannot be changed, deleted or truncated, not even by their owner', async () => {
    await recordEvents(db.auto, [event('kept')])
    const client = await connect(database.url)
    for (const attempt of [
      `update taskgrant.audit_events set reason = 'forged'`,
      `update taskgrant.audit_events set reason = 'forged', seq = 1`,
      'delete from taskgrant.audit_events',
      'truncate taskgrant.audit_events',
    ]) {
      await expect(client.query(attempt)).rejects.toThrow(/append-only/)
    }
    await db.transaction((session) => placeEvents(session, 10))
    await expect(client.query('update taskgrant.audit_events set seq = 99')).rejects.toThrow(/append-only/)
    await client.end()
  })

  it('never miss a reader: one that commits late comes later in the order', async () => {
    const late = await connect(database.url)
    await late.query('begin')
    await late.query(
      `insert into taskgrant.audit_events (type, performed_by, reason) values ('policy.loaded', '{}', 'late')`,
    )
    await recordEvents(db.auto, [event('early')])
    await db.transaction((session) => placeEvents(session, 10))
    const [first] = await listEvents(db.auto, {}, 0, 10)
    expect(first?.reason).toBe('early')
    await late.query('commit')
    await late.end()
    await db.transaction((session) => placeEvents(session, 10))
    const next = await listEvents(db.auto, {}, first?.seq ?? 0, 10)
    expect(next.map(({ reason }) => reason)).toEqual(['late'])
  })

  it('are found by task, grant, workload, user, resource, type and time', async () => {
    const [taskId, grantId] = [uuidv7(), uuidv7()]
    const who = (id: string) => ({ id, issuer: 'i', subject: id })
    const full = eventOf(
      'grant.issued',
      { performedBy: { kind: 'unknown' } },
      {
        taskId,
        grantId,
        workload: who('mcp-a'),
        onBehalfOf: who('user-a'),
        resource: 'shop-db',
      },
    )
    await recordEvents(db.auto, [full, event('other')])
    await db.transaction((session) => placeEvents(session, 10))
    for (const filter of [
      { taskId },
      { grantId },
      { workload: 'mcp-a' },
      { onBehalfOf: 'user-a' },
      { resource: 'shop-db' },
      { type: 'grant.issued' as const },
    ]) {
      const found = await listEvents(db.auto, { ...filter, since: new Date(Date.now() - 60_000) }, 0, 10)
      expect([filter, found.map(({ grantId: id }) => id)]).toEqual([filter, [grantId]])
    }
    expect(await listEvents(db.auto, { until: new Date(Date.now() - 60_000) }, 0, 10)).toEqual([])
  })
})
