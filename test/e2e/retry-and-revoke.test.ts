import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, type BrokerProcess } from '../support/broker-process.ts'
import { canLogIn } from '../support/database-user.ts'
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

describe('an idempotency key', () => {
  it('leaves one live credential, however often the call is repeated', async () => {
    const body = { purpose: 'retry', grants: [{ resource: 'shop-db', access: 'read' }] }
    const tries = await Promise.all(
      Array.from({ length: 4 }, () => agent('POST', '/v1/tasks', body, { 'Idempotency-Key': 'open-1' })),
    )
    const last = await agent('POST', '/v1/tasks', body, { 'Idempotency-Key': 'open-1' })
    expect(last.status).toBe(201)
    const opened = tries.filter(({ status }) => status === 201)
    for (const attempt of opened) {
      expect(attempt.body.task.id).toBe(last.body.task.id)
      expect(await canLogIn(attempt.body.grants[0].credential.uri)).toBe(false)
    }
    expect(await canLogIn(last.body.grants[0].credential.uri)).toBe(true)
    const live = await agent('GET', `/v1/tasks/${last.body.task.id}`)
    expect(live.body.grants.filter((grant: { state: string }) => grant.state === 'active')).toHaveLength(1)
  })

  it('belongs to one request', async () => {
    await agent('POST', '/v1/tasks', { purpose: 'one' }, { 'Idempotency-Key': 'open-2' })
    const other = await agent('POST', '/v1/tasks', { purpose: 'another' }, { 'Idempotency-Key': 'open-2' })
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused'])
  })

  it('works for single grants, too', async () => {
    const { id } = await openTask([])
    const ask = () =>
      agent(
        'POST',
        `/v1/tasks/${id}/grants`,
        { resource: 'shop-db', access: 'read' },
        { 'Idempotency-Key': 'g' },
      )
    const [first, second] = [await ask(), await ask()]
    expect(await canLogIn(first.body.credential.uri)).toBe(false)
    expect(await canLogIn(second.body.credential.uri)).toBe(true)
  })
})

describe('an order of revocation', () => {
  it('ends everything of a user', async () => {
    const onBehalfOf = await world.userToken('user-17')
    const mine = await openTask(undefined, { onBehalfOf })
    const others = await openTask()
    const order = await admin('POST', '/v1/revocations', {
      onBehalfOf: 'user-17',
      reason: 'left the company',
    })
    expect(order.body).toMatchObject({ tasks: 1, grants: 1, outstanding: 0 })
    expect(await canLogIn(mine.uri)).toBe(false)
    const trail = (await agent('GET', `/v1/tasks/${mine.id}/trail`)).body.items
    expect(trail).toContainEqual(
      expect.objectContaining({
        type: 'revocation.ordered',
        reason: 'left the company',
        policies: ['admins'],
        performedBy: expect.objectContaining({ id: 'admin-alert' }),
      }),
    )
    expect(await canLogIn(others.uri)).toBe(true)
  })

  it('withdraws everything of a resource and leaves tasks open', async () => {
    const { id, uri } = await openTask()
    const order = await admin('POST', '/v1/revocations', { resource: 'shop-db', reason: 'maintenance' })
    expect(order.status).toBe(200)
    expect(await canLogIn(uri)).toBe(false)
    expect((await agent('GET', `/v1/tasks/${id}`)).body.task.state).toBe('open')
  })

  it('is for administrators', async () => {
    const refused = await agent('POST', '/v1/revocations', { all: true, reason: 'mischief' })
    expect([refused.status, refused.body.code]).toEqual([403, 'denied'])
  })
})
