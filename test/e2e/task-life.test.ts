import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { canLogIn, openSession } from '../support/database-user.ts'
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
  admin = apiOf(broker.url, await world.token('admin-alert'))
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

async function openTask(grants: unknown[] = [{ resource: 'shop-db', access: 'read' }], more = {}) {
  const answer = await agent('POST', '/v1/tasks', { purpose: 'answer ticket 4711', grants, ...more })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  return {
    id: answer.body.task.id as string,
    task: answer.body.task,
    grants: answer.body.grants as {
      grant: { id: string; expiresAt: string }
      credential: { uri: string; username: string }
    }[],
    uri: answer.body.grants[0]?.credential.uri as string,
  }
}

describe('a task', () => {
  it('gives a user that can do what its access allows, and nothing else', async () => {
    const { uri } = await openTask()
    const client = await connect(uri)
    expect((await client.query('select count(*)::int as n from orders')).rows[0].n).toBe(5)
    await expect(client.query('delete from orders')).rejects.toThrow(/permission denied/)
    await expect(client.query('create table mine (id int)')).rejects.toThrow(/permission denied/)
    expect((await client.query('show application_name')).rows[0].application_name).toMatch(/^taskgrant\//)
    await client.end()
  })

  it('takes its credentials along when it ends: open sessions die and the login fails', async () => {
    const { id, uri } = await openTask()
    const { closed } = await openSession(uri)
    const ended = await agent('POST', `/v1/tasks/${id}/end`)
    expect(ended.status).toBe(200)
    expect(ended.body.state).toBe('ended')
    expect(ended.body.outstanding).toEqual([])
    await closed
    expect(await canLogIn(uri)).toBe(false)
  })

  it('can be revoked by an administrator, with a reason that the trail keeps', async () => {
    const { id, uri } = await openTask()
    const { client, closed } = await openSession(uri)
    const sleeping = client.query('select pg_sleep(60)').catch((error: unknown) => String(error))
    const revoked = await admin('POST', `/v1/tasks/${id}/revoke`, { reason: 'ticket closed' })
    expect(revoked.status).toBe(200)
    await closed
    expect(await sleeping).toMatch(/terminat|Connection/)
    expect(await canLogIn(uri)).toBe(false)
    const trail = await admin('GET', `/v1/tasks/${id}/trail`)
    const types = trail.body.items.map((event: { type: string }) => event.type)
    expect(types).toEqual([
      'task.opened',
      'grant.requested',
      'grant.issued',
      'revocation.ordered',
      'grant.access_ended',
      'grant.removed',
      'task.ended',
    ])
    const ordered = trail.body.items[3]
    expect(ordered).toMatchObject({
      reason: 'ticket closed',
      purpose: 'answer ticket 4711',
      action: 'revoke',
      decision: 'allow',
      policies: ['admins'],
      workload: { id: 'mcp-orders' },
      performedBy: { kind: 'workload', id: 'admin-alert' },
    })
  })

  it('admits no grant after its end', async () => {
    const { id } = await openTask()
    await agent('POST', `/v1/tasks/${id}/end`)
    const late = await agent('POST', `/v1/tasks/${id}/grants`, { resource: 'shop-db', access: 'read' })
    expect(late.status).toBe(409)
    expect(late.body.code).toBe('task_not_open')
  })

  it('can be ended by two callers at once, and again later', async () => {
    const { id, uri } = await openTask()
    const answers = await Promise.all([
      agent('POST', `/v1/tasks/${id}/end`),
      admin('POST', `/v1/tasks/${id}/revoke`, { reason: 'at the same time' }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect((await agent('POST', `/v1/tasks/${id}/end`)).status).toBe(200)
    expect(await canLogIn(uri)).toBe(false)
  })

  it('loses its access when its time is over, sessions included', async () => {
    const { id, uri } = await openTask([{ resource: 'shop-db', access: 'read', ttlSeconds: 2 }], {
      ttlSeconds: 2,
    })
    const { closed } = await openSession(uri)
    await closed
    expect(await canLogIn(uri)).toBe(false)
    await expect.poll(async () => (await agent('GET', `/v1/tasks/${id}`)).body.task.state).toBe('ended')
    expect((await agent('GET', `/v1/tasks/${id}`)).body.task.endReason).toBe('expired')
  })

  it('opens with all of its grants or not at all', async () => {
    const wishes = [
      { resource: 'shop-db', access: 'read' },
      { resource: 'shop-db', access: 'forbidden' },
    ]
    const refused = await agent('POST', '/v1/tasks', {
      purpose: 'too much',
      key: 'all-or-nothing',
      grants: wishes,
    })
    expect(refused.status).toBe(403)
    const open = await agent('GET', '/v1/tasks?key=all-or-nothing')
    expect(open.body.items).toEqual([])
  })

  it('is unique by its key among the open ones', async () => {
    const first = await openTask([], { key: 'req-1' })
    const second = await agent('POST', '/v1/tasks', { purpose: 'again', key: 'req-1' })
    expect(second.status).toBe(409)
    expect(second.body).toMatchObject({ code: 'task_exists', taskId: first.id })
    await agent('POST', `/v1/tasks/${first.id}/end`)
    expect((await agent('POST', '/v1/tasks', { purpose: 'again', key: 'req-1' })).status).toBe(201)
  })

  it('frees its key when its time is over, before anybody reaps it', async () => {
    const { id } = await openTask([], { key: 'req-2', ttlSeconds: 1 })
    await expect
      .poll(async () => (await agent('POST', '/v1/tasks', { purpose: 'next', key: 'req-2' })).status, {
        timeout: 3000,
      })
      .toBe(201)
    expect((await agent('GET', `/v1/tasks/${id}`)).body.task.state).not.toBe('open')
  })

  it("is nobody else's business", async () => {
    const { id, grants } = await openTask()
    const other = apiOf(broker.url, await world.token('mcp-other'))
    const grantId = grants[0]?.grant.id
    for (const [method, path, body] of [
      ['GET', `/v1/tasks/${id}`],
      ['GET', `/v1/tasks/${id}/trail`],
      ['POST', `/v1/tasks/${id}/end`],
      ['POST', `/v1/tasks/${id}/revoke`, { reason: 'mischief' }],
      ['POST', `/v1/tasks/${id}/grants`, { resource: 'shop-db', access: 'read' }],
      ['GET', `/v1/grants/${grantId}`],
      ['POST', `/v1/grants/${grantId}/renew`],
      ['POST', `/v1/grants/${grantId}/revoke`],
    ] as const) {
      const answer = await other(method, path, body)
      expect([path, answer.status]).toEqual([path, 404])
    }
    expect((await other('GET', '/v1/tasks')).body.items).toEqual([])
    expect((await other('GET', '/v1/grants')).body.items).toEqual([])
    expect((await other('GET', '/v1/audit')).status).toBe(403)
  })
})

describe('a grant', () => {
  it('is capped by policy, and says so', async () => {
    const { grants } = await openTask([{ resource: 'shop-db', access: 'capped', ttlSeconds: 3000 }], {
      ttlSeconds: 3600,
    })
    const seconds = (new Date(grants[0]?.grant.expiresAt ?? 0).getTime() - Date.now()) / 1000
    expect(seconds).toBeGreaterThan(590)
    expect(seconds).toBeLessThanOrEqual(600)
  })

  it('can be renewed within its task, and dies by the new time', async () => {
    const { grants } = await openTask([{ resource: 'shop-db', access: 'read', ttlSeconds: 60 }])
    const id = grants[0]?.grant.id
    const renewed = await agent('POST', `/v1/grants/${id}/renew`, { ttlSeconds: 600 })
    expect(renewed.status).toBe(200)
    const shop = await connect(world.shopUrl)
    const valid = await shop.query('select rolvaliduntil from pg_roles where rolname = $1', [
      grants[0]?.credential.username,
    ])
    await shop.end()
    expect(valid.rows[0].rolvaliduntil.toISOString()).toBe(renewed.body.expiresAt)
  })

  it('cannot be renewed past its task, nor after its end', async () => {
    const { id, task, grants } = await openTask(undefined, { ttlSeconds: 120 })
    const grantId = grants[0]?.grant.id
    const renewed = await agent('POST', `/v1/grants/${grantId}/renew`, { ttlSeconds: 3600 })
    expect(renewed.body.expiresAt).toBe(task.expiresAt)
    await agent('POST', `/v1/tasks/${id}/end`)
    const late = await agent('POST', `/v1/grants/${grantId}/renew`)
    expect(late.body.code).toBe('not_renewable')
  })

  it('can be withdrawn alone, and its task goes on', async () => {
    const { id, uri, grants } = await openTask()
    const revoked = await agent('POST', `/v1/grants/${grants[0]?.grant.id}/revoke`, {
      reason: 'done with it',
    })
    expect(revoked.status).toBe(200)
    expect(revoked.body.state).toBe('revoked')
    expect(await canLogIn(uri)).toBe(false)
    const next = await agent('POST', `/v1/tasks/${id}/grants`, { resource: 'shop-db', access: 'read' })
    expect(next.status).toBe(201)
    expect(await canLogIn(next.body.credential.uri)).toBe(true)
  })
})

describe('without a broker', () => {
  it('a login fails by the clock of the backend, and cron ends the sessions', async () => {
    const second = await createWorld()
    const running = await startBrokerProcess(second.configFile)
    const own = apiOf(running.url, await second.token('mcp-orders'))
    const grants = [{ resource: 'shop-db', access: 'read', ttlSeconds: 2 }]
    const opened = await own('POST', '/v1/tasks', { purpose: 'left alone', grants })
    const uri = opened.body.grants[0].credential.uri as string
    const { closed } = await openSession(uri)
    await running.kill('SIGKILL')

    await expect.poll(() => canLogIn(uri), { timeout: 5000 }).toBe(false)
    const reaped = await taskgrant(['reap', '--once', '--json', '-c', second.configFile])
    expect(reaped.code, reaped.stderr).toBe(0)
    await closed
    expect(JSON.parse(reaped.stdout)).toMatchObject({ accessEnded: 1, removed: 1, left: [], failures: [] })
    await second[Symbol.asyncDispose]()
  })
})
