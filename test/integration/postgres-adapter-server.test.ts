import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { postgresAdapter } from '../../adapters/postgres/index.ts'
import type { Adapter } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../broker/db/embedded-postgres.ts'
import { Secret } from '../../broker/secret.ts'
import { callFor, newStoreId } from '../contract/postgres-fixture.ts'
import { canLogIn, openSession, type OpenSession } from '../support/database-user.ts'
import { connect } from '../support/postgres.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'
import { GONE } from './postgres-adapter-steps.ts'

/** A server of its own: these tests restart it and use it up. */
let folder: string
let server: EmbeddedPostgres
let adapter: Adapter
const password = new Secret(randomBytes(12).toString('hex'))

async function start(port?: number): Promise<EmbeddedPostgres> {
  const settings = { max_connections: '12', superuser_reserved_connections: '1', fsync: 'off' }
  return startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    password,
    settings,
    ...(port === undefined ? {} : { port }),
  })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskgrant-test-'))
  await chmod(folder, 0o711)
  server = await start()
  const root = await connect(server.url('postgres').reveal())
  await root.query(`create role reader; create role adm login createrole password 'adm'`)
  await root.query('grant reader to adm with admin option')
  await root.end()
  const admin = new URL(server.url('postgres').reveal())
  admin.username = 'adm'
  admin.password = 'adm'
  adapter = postgresAdapter.create({
    ...NO_SERVICES,
    resource: 'db',
    settings: postgresAdapter.settings.parse({ admin: admin.href }),
    accesses: new Map([['read', postgresAdapter.access.parse({ memberOf: 'reader' })]]),
  })
})

afterAll(async () => {
  await adapter[Symbol.asyncDispose]()
  await adapter[Symbol.asyncDispose]()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function issue(): Promise<{ handle: JsonObject; uri: string }> {
  const plan = {
    grantId: uuidv7(),
    taskId: uuidv7(),
    storeId: newStoreId(),
    access: 'read',
    params: {},
    workloadId: 'w',
    ttlSeconds: 60,
  }
  const handle = adapter.plan(plan)
  const times = { expiresAt: new Date(Date.now() + 60_000), issueBefore: new Date(Date.now() + 10_000) }
  const issued = await adapter.issue({ ...plan, ...times }, handle, callFor(10_000))
  return { handle, uri: String(issued.credential.reveal()['uri']) }
}

it('ends access also when the user has taken every connection of the server', async () => {
  await adapter.check(callFor(5_000))
  const { handle, uri } = await issue()
  const taken: OpenSession[] = []
  for (;;) {
    const session = await openSession(uri).catch(() => undefined)
    if (session === undefined) break
    taken.push(session)
  }
  expect(taken.length).toBeGreaterThan(5)
  expect(await adapter.revoke([handle], callFor(10_000))).toEqual([GONE])
  await Promise.all(taken.map(({ closed }) => closed))
  expect(await canLogIn(uri)).toBe(false)
})

it('goes on after the server has restarted', async () => {
  const { handle, uri } = await issue()
  const session = await openSession(uri)
  const { port } = server
  await server.stop()
  await session.closed
  await expect(adapter.revoke([handle], callFor(2_000))).rejects.toMatchObject({ failure: 'unavailable' })
  await expect(issue()).rejects.toMatchObject({ failure: 'unavailable', settled: true })
  server = await start(port)
  expect(await canLogIn(uri)).toBe(true)
  expect(await adapter.revoke([handle], callFor(10_000))).toEqual([GONE])
  expect(await canLogIn(uri)).toBe(false)
  const again = await issue()
  expect(await canLogIn(again.uri)).toBe(true)
  expect(await adapter.revoke([again.handle], callFor(10_000))).toEqual([GONE])
})
