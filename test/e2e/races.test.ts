import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { canLogIn, openSession, taskRoles } from '../support/database-user.ts'
import { connect } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { configureThroughProxies } from '../support/through-proxies.ts'
import { createWorld, type World } from '../support/world.ts'

/** The broker reaches its backend and its store through proxies that can stall, refuse and cut. */
let world: World
let backend: Proxy
let store: Proxy
let broker: BrokerProcess
let agent: Api
let storeId: string

const SHOP = { resource: 'shop-db', access: 'read' }

beforeEach(async () => {
  world = await createWorld()
  backend = await startProxy(world.shopUrl)
  store = await startProxy(world.storeUrl)
  await configureThroughProxies(world, store, backend)
  broker = await startBrokerProcess(world.configFile)
  agent = apiOf(broker.url, await world.token('mcp-orders'))
  const client = await connect(world.storeUrl)
  storeId = (await client.query('select store_id from taskgrant.store')).rows[0].store_id
  await client.end()
})

afterEach(async () => {
  await broker[Symbol.asyncDispose]()
  await backend[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

async function openTask(grants: unknown[] = [SHOP]) {
  const answer = await agent('POST', '/v1/tasks', { purpose: 'race', grants })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  return { id: answer.body.task.id as string, uri: answer.body.grants[0]?.credential.uri as string }
}

/** The grant's login, past the proxy: what an agent would reach. */
function direct(uri: string): string {
  const url = new URL(uri)
  url.host = new URL(world.shopUrl).host
  return url.href
}

describe('a task that ends', () => {
  it('admits no grant that was in flight on a stalled backend, once it answers ended', async () => {
    const { id } = await openTask([])
    backend.mode = 'stall'
    const inFlight = agent('POST', `/v1/tasks/${id}/grants`, SHOP)
    await expect.poll(async () => (await agent('GET', `/v1/tasks/${id}`)).body.grants.length).toBe(1)
    const early = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=0`)
    expect(early.status).toBe(202)
    expect(early.body.outstanding).toHaveLength(1)
    backend.mode = 'pass'
    const late = await inFlight
    expect(late.status).toBeGreaterThanOrEqual(400)
    const ended = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=30`)
    expect(ended.body.state).toBe('ended')
    expect(await taskRoles(world.shopUrl, storeId)).toEqual([])
  })

  it('does not say that it has ended while an order to create a credential is still under way', async () => {
    const { id } = await openTask([])
    // Only the order is held up: whoever looks on the backend finds nothing to withdraw.
    backend.holdBack = (data) => data.includes('create role')
    const inFlight = agent('POST', `/v1/tasks/${id}/grants`, SHOP)
    await expect.poll(async () => (await agent('GET', `/v1/tasks/${id}`)).body.grants.length).toBe(1)
    const early = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=2`)
    expect([early.status, early.body.state]).toEqual([202, 'ending'])
    backend.holdBack = undefined
    expect((await inFlight).status).toBeGreaterThanOrEqual(400)
    const ended = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=30`)
    expect(ended.body.state).toBe('ended')
    expect(await taskRoles(world.shopUrl, storeId)).toEqual([])
  }, 60_000)

  it('leaves nothing behind, whatever the order of grants and end', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { id } = await openTask([])
      const grants = Array.from({ length: 6 }, () => agent('POST', `/v1/tasks/${id}/grants`, SHOP))
      await new Promise((resolve) => setTimeout(resolve, round * 4))
      const ended = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=30`)
      expect(ended.body.state).toBe('ended')
      // From here on no credential opens anything, also not one whose answer is still on its way.
      const answers = await Promise.all(grants)
      for (const { status, body } of answers) {
        if (status === 201) expect(await canLogIn(direct(body.credential.uri))).toBe(false)
        else expect(body.code).toBe('task_not_open')
      }
    }
    expect(await taskRoles(world.shopUrl, storeId)).toEqual([])
  })
})

describe('a backend that is away', () => {
  it('refuses its grants with a code, keeps no role, and does not disturb the others', async () => {
    backend.mode = 'refuse'
    backend.cut()
    const refused = await agent('POST', '/v1/tasks', { purpose: 'away', key: 'away', grants: [SHOP] })
    expect([refused.status, refused.body.code]).toEqual([503, 'backend_unavailable'])
    const other = await openTask([{ resource: 'other-db', access: 'read' }])
    expect(await canLogIn(other.uri)).toBe(true)
    backend.mode = 'pass'
    await expect
      .poll(async () => (await agent('GET', '/v1/tasks?key=away')).body.items[0]?.state, { timeout: 25_000 })
      .toBe('ended')
  })

  it('delays its own withdrawals, which are done when it is back; the login has ended by then', async () => {
    const { id, uri } = await openTask([SHOP])
    const { closed } = await openSession(direct(uri))
    backend.mode = 'refuse'
    backend.cut()
    const asked = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=1`)
    expect(asked.status).toBe(202)
    expect(asked.body.outstanding[0].lastError).toMatch(/\w/)
    backend.mode = 'pass'
    await closed
    await expect
      .poll(async () => (await agent('GET', `/v1/tasks/${id}`)).body.task.state, { timeout: 20_000 })
      .toBe('ended')
    expect(await canLogIn(direct(uri))).toBe(false)
  })

  it('never makes a retried call leave two live credentials, however often it failed meanwhile', async () => {
    const body = { purpose: 'retry', grants: [SHOP] }
    const ask = () => agent('POST', '/v1/tasks', body, { 'Idempotency-Key': 'again' })
    const first = await ask()
    const uri = direct(first.body.grants[0].credential.uri)
    backend.mode = 'refuse'
    backend.cut()
    const refused = await Promise.all([ask(), ask()])
    expect(refused.map(({ status }) => status).filter((status) => status < 400)).toEqual([])
    expect(await canLogIn(uri)).toBe(true)
    backend.mode = 'pass'
    const answered = async (): Promise<number> => {
      const retry = await ask()
      if (retry.status === 201) expect(await canLogIn(direct(retry.body.grants[0].credential.uri))).toBe(true)
      return retry.status
    }
    await expect.poll(answered, { timeout: 40_000 }).toBe(201)
    expect(await canLogIn(uri)).toBe(false)
    expect(await taskRoles(world.shopUrl, storeId)).toHaveLength(1)
  }, 90_000)

  it('is told by an order of revocation as long as access is open, whoever ended the task', async () => {
    const { id, uri } = await openTask([SHOP])
    backend.mode = 'refuse'
    backend.cut()
    expect((await agent('POST', `/v1/tasks/${id}/end?waitSeconds=0`)).status).toBe(202)
    const admin = apiOf(broker.url, await world.token('admin-alert'))
    const order = { workload: 'mcp-orders', reason: 'alert' }
    const open = await admin('POST', '/v1/revocations?waitSeconds=1', order)
    expect([open.status, open.body.outstanding]).toEqual([202, 1])
    expect(await canLogIn(direct(uri))).toBe(true)
    backend.mode = 'pass'
    const ended = await admin('POST', '/v1/revocations?waitSeconds=30', order)
    expect([ended.status, ended.body.outstanding]).toEqual([200, 0])
    expect(await canLogIn(direct(uri))).toBe(false)
  }, 60_000)

  it('does not hold up the end of the grants of others', async () => {
    const both = await agent('POST', '/v1/tasks', {
      purpose: 'two backends',
      grants: [SHOP, { resource: 'other-db', access: 'read' }],
    })
    const uri = both.body.grants[1].credential.uri as string
    backend.mode = 'stall'
    const { closed } = await openSession(uri)
    const asked = await agent('POST', `/v1/tasks/${both.body.task.id}/end?waitSeconds=3`)
    expect(asked.status).toBe(202)
    await closed
    expect(await canLogIn(uri)).toBe(false)
    expect(asked.body.outstanding.map(({ resource }: { resource: string }) => resource)).toEqual(['shop-db'])
    backend.mode = 'pass'
  })
})

describe('a caller that is gone before its answer', () => {
  it('leaves no credential behind, and no open task', async () => {
    backend.mode = 'stall'
    const gone = new AbortController()
    const request = fetch(new URL('/v1/tasks', broker.url), {
      method: 'POST',
      signal: gone.signal,
      headers: {
        Authorization: `Bearer ${await world.token('mcp-orders')}`,
        'Content-Type': 'application/json',
      },
      body: JSON.stringify({ purpose: 'gone', key: 'gone', grants: [SHOP] }),
    }).catch(() => undefined)
    await expect.poll(async () => (await agent('GET', '/v1/tasks?key=gone')).body.items.length).toBe(1)
    gone.abort()
    await request
    backend.mode = 'pass'
    const state = async (): Promise<string> => (await agent('GET', '/v1/tasks?key=gone')).body.items[0].state
    await expect.poll(state, { timeout: 25_000 }).toBe('ended')
    expect(await taskRoles(world.shopUrl, storeId)).toEqual([])
  })
})

describe('a store that is away', () => {
  it('lets nothing be issued, and the broker recovers by itself', async () => {
    await openTask()
    store.mode = 'refuse'
    store.cut()
    const refused = await agent('POST', '/v1/tasks', { purpose: 'no store', grants: [SHOP] })
    expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable'])
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    const ready = await fetch(new URL('/readyz', broker.url))
    expect(ready.status).toBe(503)
    store.mode = 'pass'
    await expect
      .poll(async () => (await agent('POST', '/v1/tasks', { purpose: 'back' })).status, { timeout: 10_000 })
      .toBe(201)
  })

  it('hands out nothing if it cannot record that it did: what was made is withdrawn', async () => {
    // The store goes away between the two recordings: when the backend is told to create.
    backend.onPacket = (data, delivered) => {
      if (delivered || !data.includes('create role')) return
      store.mode = 'refuse'
      store.cut()
    }
    const refused = await agent('POST', '/v1/tasks', { purpose: 'unrecorded', grants: [SHOP] })
    expect(refused.status).toBe(503)
    backend.onPacket = undefined
    await expect.poll(() => taskRoles(world.shopUrl, storeId), { timeout: 20_000 }).toEqual([])
    store.mode = 'pass'
    const reaped = await taskgrant(['reap', '--once', '--json', '-c', world.configFile])
    expect(reaped.code, reaped.stdout + reaped.stderr).toBe(0)
  })
})

describe('two brokers on one store', () => {
  it('see the same tasks, and either ends what the other one made', async () => {
    await using second = await startBrokerProcess(world.configFile)
    const elsewhere = apiOf(second.url, await world.token('mcp-orders'))
    const { id, uri } = await openTask()
    const { closed } = await openSession(direct(uri))
    expect((await elsewhere('POST', `/v1/tasks/${id}/end`)).body.state).toBe('ended')
    await closed
    expect(await canLogIn(direct(uri))).toBe(false)
  })

  it('withdraw every expired grant once', async () => {
    await using second = await startBrokerProcess(world.configFile)
    const elsewhere = apiOf(second.url, await world.token('mcp-orders'))
    const opened = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? agent : elsewhere)('POST', '/v1/tasks', {
          purpose: 'short',
          ttlSeconds: 6,
          grants: [SHOP],
        }),
      ),
    )
    const ids = opened.map(({ body }) => body.task.id as string)
    for (const id of ids) {
      await expect
        .poll(async () => (await agent('GET', `/v1/tasks/${id}`)).body.task.state, { timeout: 15_000 })
        .toBe('ended')
      const { body } = await agent('GET', `/v1/tasks/${id}/trail`)
      const types = body.items.map(({ type }: { type: string }) => type)
      for (const once of ['grant.access_ended', 'grant.removed', 'task.expired', 'task.ended']) {
        expect(types.filter((type: string) => type === once)).toEqual([once])
      }
    }
    expect(await taskRoles(world.shopUrl, storeId)).toEqual([])
  })
})

describe('a shutdown', () => {
  it('finishes what is in flight and ends cleanly', async () => {
    const inFlight = Array.from({ length: 8 }, () =>
      agent('POST', '/v1/tasks', { purpose: 'last', grants: [SHOP] }),
    )
    await new Promise((resolve) => setTimeout(resolve, 15))
    const code = broker.kill('SIGTERM')
    const answers = await Promise.allSettled(inFlight)
    expect(await code).toBe(0)
    const minted = answers.flatMap((answer) =>
      answer.status === 'fulfilled' && answer.value.status === 201 ? [answer.value] : [],
    )
    for (const { body } of minted) expect(await canLogIn(direct(body.grants[0].credential.uri))).toBe(true)
    expect(await taskRoles(world.shopUrl, storeId)).toHaveLength(minted.length)
  })
})
