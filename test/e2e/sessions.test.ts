import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startAwsDemo, type AwsDemo } from '../../broker/dev/aws-demo.ts'
import { signedGet, type SessionKeys } from '../../scripts/demo/signed-get.ts'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { createWorld, type World } from '../support/world.ts'

let world: World
let aws: AwsDemo
let broker: BrokerProcess
let agent: Api
let admin: Api

beforeAll(async () => {
  world = await createWorld()
  aws = await startAwsDemo()
  await world.configure({
    resources: { 'aws-demo': aws.resource, 'aws-undeniable': { ...aws.resource, revocation: 'none' } },
  })
  broker = await startBrokerProcess(world.configFile)
  agent = apiOf(broker.url, await world.token('mcp-reports'))
  admin = apiOf(broker.url, await world.token('admin-alert'))
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  await aws.emulator.close()
  await world[Symbol.asyncDispose]()
})

interface Opened {
  readonly id: string
  readonly grant: Record<string, unknown>
  readonly keys: SessionKeys
}

async function open(ttlSeconds = 600, resource = 'aws-demo'): Promise<Opened> {
  const grants = [{ resource, access: 'read', ttlSeconds }]
  const answer = await agent('POST', '/v1/tasks', { purpose: 'read the reports', grants })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  const [{ grant, credential }] = answer.body.grants
  return { id: answer.body.task.id, grant, keys: credential }
}

async function read(keys: SessionKeys): Promise<number> {
  return (await signedGet(new URL('/reports/2026-01.csv', aws.emulator.url), keys)).status
}

async function trailOf(id: string): Promise<string[]> {
  const { body } = await admin('GET', `/v1/tasks/${id}/trail`)
  return body.items.map(({ type }: { type: string }) => type)
}

describe('an AWS session of a task', () => {
  it('reads what its role may, and says at AWS which task it is for', async () => {
    const { id, keys, grant } = await open()
    expect(await read(keys)).toBe(200)
    expect(grant['guarantees']).toEqual({ nativeExpiry: 'exact', revocation: 'eventual' })
    const call = aws.emulator.calls.findLast(({ action }) => action === 'AssumeRole')
    expect(call?.parameters['SourceIdentity']).toBe(id)
    expect(Object.values(call?.parameters ?? {})).toContain('mcp-reports')
  })

  it('is denied once its task is revoked, and its neighbour is not', async () => {
    const [one, other] = [await open(), await open()]
    const revoked = await admin('POST', `/v1/tasks/${one.id}/revoke`, { reason: 'alert' })
    expect([revoked.status, revoked.body.state]).toEqual([200, 'ended'])
    expect([await read(one.keys), await read(other.keys)]).toEqual([403, 200])
  })

  it('ends on time by the clock of AWS, though AWS gives no session of less than 15 minutes', async () => {
    const { keys, grant } = await open(3)
    expect(await read(keys)).toBe(200)
    await delay(Date.parse(String(grant['expiresAt'])) - Date.now() + 100)
    expect(await read(keys)).toBe(403)
  })

  it('is withdrawn by cron when no broker was there, and when AWS was away', async () => {
    const { id, keys } = await open()
    aws.emulator.failNext('PutRolePolicy', 'unavailable', 20)
    const ended = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=8`)
    expect([ended.status, ended.body.outstanding.length]).toEqual([202, 1])
    expect(ended.body.outstanding[0].lastError).toMatch(/./)
    expect(await read(keys)).toBe(200)
    const isEnded = async (): Promise<string> => (await agent('GET', `/v1/tasks/${id}`)).body.task.state
    await expect.poll(isEnded, { timeout: 40_000 }).toBe('ended')
    expect(await read(keys)).toBe(403)
    expect(await trailOf(id)).toContain('grant.revoke_failed')
    const reaped = await taskgrant(['reap', '--once', '--json', '-c', world.configFile])
    expect(reaped.code, reaped.stderr).toBe(0)
  })

  it('never stays behind when the answer that made it was lost', async () => {
    // As often as the SDK tries.
    aws.emulator.failNext('AssumeRole', 'lostAnswer', 4)
    const grants = [{ resource: 'aws-demo', access: 'read' }]
    const refused = await agent('POST', '/v1/tasks', { purpose: 'lost', key: 'lost', grants })
    expect(refused.status).toBeGreaterThanOrEqual(502)
    const { body } = await agent('GET', '/v1/tasks?key=lost')
    const state = async (): Promise<string> =>
      (await agent('GET', `/v1/tasks/${body.items[0].id}`)).body.task.state
    await expect.poll(state, { timeout: 40_000 }).toBe('ended')
    const task = await agent('GET', `/v1/tasks/${body.items[0].id}`)
    const denials = [...aws.emulator.rolePolicies('reports-reader').values()].join('')
    expect(denials).toContain(task.body.grants[0].handle.sessionName.slice(-16))
  })

  it('that nobody may deny keeps its task from ending before its time, and says so', async () => {
    const { id, keys, grant } = await open(4, 'aws-undeniable')
    expect(grant['guarantees']).toEqual({ nativeExpiry: 'exact', revocation: 'expiry-only' })
    const ended = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=1`)
    expect(ended.status).toBe(202)
    expect(ended.body.outstanding[0].deferredUntil).toBe(grant['expiresAt'])
    const state = async (): Promise<string> => (await agent('GET', `/v1/tasks/${id}`)).body.task.state
    await expect.poll(state).toBe('ended')
    expect(await read(keys)).toBe(403)
  })
})
