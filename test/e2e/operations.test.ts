import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { connect } from '../support/postgres.ts'
import { createWorld, type World } from '../support/world.ts'

let world: World
let broker: BrokerProcess
let agent: Api
let admin: Api

beforeAll(async () => {
  world = await createWorld()
  broker = await startBrokerProcess(world.configFile)
  agent = apiOf(broker.url, await world.token('mcp-orders'))
  admin = apiOf(broker.url, await world.token('admin-ops'))
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const wish = { resource: 'shop-db', access: 'read' }

describe('those who operate a broker', () => {
  it('see in the metrics what was issued, refused and withdrawn, and how long the end took', async () => {
    const opened = await agent('POST', '/v1/tasks', { purpose: 'metrics', grants: [wish, wish] })
    await agent('POST', '/v1/tasks', { purpose: 'metrics', grants: [{ ...wish, access: 'forbidden' }] })
    await agent('POST', `/v1/tasks/${opened.body.task.id}/end`)
    const text = await (await fetch(new URL('/metrics', broker.url))).text()
    expect(text).toContain('taskgrant_grants_issued_total{resource="shop-db"} 2')
    expect(text).toContain('taskgrant_grants_denied_total{resource="shop-db"} 1')
    expect(text).toContain('taskgrant_grants_access_ended_total{resource="shop-db",reason="task_ended"} 2')
    expect(text).toContain('taskgrant_access_ended_seconds_count{resource="shop-db"} 2')
    expect(text).toContain('taskgrant_backend_up{resource="shop-db"} 1')
    expect(text).not.toContain('mcp-orders')
  })

  it('tell the state of the store and of every backend apart', async () => {
    const ready = await fetch(new URL('/readyz', broker.url))
    expect(ready.status).toBe(200)
    expect(await ready.json()).toEqual({
      ready: true,
      store: { ok: true },
      backends: { 'shop-db': { ok: true } },
    })
  })

  it('find a request in the log by its id, with workload, route and status, as JSON lines', async () => {
    await agent('GET', '/v1/tasks', undefined, { 'X-Request-Id': 'find-me-4711' })
    await expect.poll(() => broker.output()).toContain('find-me-4711')
    const lines = broker.output().trim().split('\n')
    const found = lines.map((line) => JSON.parse(line)).find(({ requestId }) => requestId === 'find-me-4711')
    expect(found).toMatchObject({ workload: 'mcp-orders', route: '/v1/tasks', status: 200, level: 'info' })
  })

  it('follow one request from the answer into the trail', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const headers = { 'X-Request-Id': 'req-into-trail', traceparent: `00-${trace}-00f067aa0ba902b7-01` }
    const onBehalfOf = await world.userToken('user-3', { act: { sub: 'agent-1', act: { sub: 'agent-0' } } })
    const labels = { ticket: '4711' }
    const opened = await agent(
      'POST',
      '/v1/tasks',
      { purpose: 'trail', labels, onBehalfOf, grants: [wish] },
      headers,
    )
    const { body } = await agent('GET', `/v1/tasks/${opened.body.task.id}/trail`)
    const issued = body.items.find(({ type }: { type: string }) => type === 'grant.issued')
    expect(issued).toMatchObject({
      workload: { id: 'mcp-orders', subject: 'mcp-orders' },
      onBehalfOf: { id: 'user-3' },
      actors: [{ subject: 'agent-1' }, { subject: 'agent-0' }],
      purpose: 'trail',
      labels,
      resource: 'shop-db',
      access: 'read',
      action: 'requestGrant',
      decision: 'allow',
      policies: ['agents'],
      policySet: expect.stringMatching(/^[0-9a-f]{64}$/),
      requestId: 'req-into-trail',
      traceId: trace,
      grantId: opened.body.grants[0].grant.id,
      handle: { role: opened.body.grants[0].credential.username },
    })
  })

  it('read every refusal in the audit, with the policies that refused', async () => {
    await agent('POST', '/v1/tasks', { purpose: 'refused', grants: [{ ...wish, access: 'forbidden' }] })
    const denied = async (): Promise<unknown[]> =>
      (await admin('GET', '/v1/audit?type=grant.denied&limit=1000')).body.items
    await expect.poll(denied).toContainEqual(
      expect.objectContaining({
        purpose: 'refused',
        decision: 'deny',
        policies: ['no-secrets'],
        access: 'forbidden',
      }),
    )
    await agent('GET', '/v1/tasks', undefined, { Authorization: 'Bearer a.b.c' })
    const rejected = async (): Promise<unknown[]> =>
      (await admin('GET', '/v1/audit?type=identity.rejected')).body.items
    await expect.poll(async () => (await rejected()).length).toBeGreaterThan(0)
  })

  it('page through the audit without missing or repeating an event', async () => {
    const store = await connect(world.storeUrl)
    await expect
      .poll(async () => (await store.query('select from taskgrant.audit_events where seq is null')).rowCount)
      .toBe(0)
    const count = (await store.query('select count(*)::int as n from taskgrant.audit_events')).rows[0].n
    await store.end()
    const seen: number[] = []
    let after: number | null = 0
    while (after !== null) {
      const page: { items: { seq: number }[]; next: number | null } = (
        await admin('GET', `/v1/audit?limit=3&after=${after}`)
      ).body
      seen.push(...page.items.map(({ seq }) => seq))
      after = page.next
    }
    expect(seen).toEqual(Array.from({ length: count }, (_, index) => index + 1))
  })

  it('page through tasks and grants, newest first', async () => {
    const all = (await admin('GET', '/v1/tasks?limit=1000')).body.items.map(({ id }: { id: string }) => id)
    const paged: string[] = []
    let next: string | null = ''
    while (next !== null) {
      const page: { items: { id: string }[]; next: string | null } = (
        await admin('GET', `/v1/tasks?limit=2${next === '' ? '' : `&after=${next}`}`)
      ).body
      paged.push(...page.items.map(({ id }) => id))
      next = page.next
    }
    expect(paged).toEqual(all)
    expect(all).toEqual([...all].toSorted().toReversed())
  })

  it('cannot take a resource away that still has grants, and are told the way out', async () => {
    await agent('POST', '/v1/tasks', { purpose: 'stranded', grants: [wish] })
    await broker.kill('SIGTERM')
    await world.configure({ resources: {} })
    const refused = await taskgrant(['serve', '-c', world.configFile])
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/resources\.shop-db/)
    expect(refused.stderr).toMatch(/grants of access read are not withdrawn yet/)
    expect(refused.stderr).toMatch(/revocations create --resource shop-db/)
    await world.configure({})
  })

  it('are told everything that is wrong with a configuration, where it is, and no secret of it', async () => {
    await world.configure({
      listen: { port: 70_000 },
      store: { url: '${env:NOT_SET_ANYWHERE}' },
      extra: true,
      resources: {
        'shop-db': { adapter: 'postgres', admin: 'postgresql://a:hush@h/x', access: { read: {} } },
      },
    })
    const references = await taskgrant(['serve', '-c', world.configFile])
    expect(references.code).toBe(1)
    expect(references.stderr).toMatch(/store\.url.*NOT_SET_ANYWHERE/)
    await world.configure({
      listen: { port: 70_000 },
      extra: true,
      tasks: { maxTtl: 'forever' },
      resources: {
        'shop-db': { adapter: 'postgres', admin: 'postgresql://a:hush@h/x', access: { read: {} } },
      },
    })
    const schema = await taskgrant(['serve', '-c', world.configFile])
    for (const place of ['listen.port', 'extra', 'tasks.maxTtl', 'resources.shop-db.access.read.memberOf']) {
      expect(schema.stderr).toContain(place)
    }
    expect(schema.stderr).not.toContain('hush')
    await world.configure({})
  })
})
