import { X509Certificate } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Api } from '../support/api.ts'
import { taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import {
  API,
  createCertificateScene,
  type CertificateScene,
  type Opened,
} from '../support/certificate-scene.ts'
import { connect } from '../support/postgres.ts'
import type { Proxy } from '../support/proxy.ts'
import type { World } from '../support/world.ts'

let scene: CertificateScene
let world: World
let store: Proxy
let broker: BrokerProcess
let second: BrokerProcess
let agent: Api
let admin: Api
let open: CertificateScene['open']
let isLetIn: CertificateScene['isLetIn']
let trailOf: CertificateScene['trailOf']

beforeAll(async () => {
  scene = await createCertificateScene()
  ;({ world, store, broker, second, agent, admin, open, isLetIn, trailOf } = scene)
})

afterAll(async () => {
  await scene[Symbol.asyncDispose]()
})

describe('a certificate of a task', () => {
  it('opens what it is for, and is recorded as issued in the transaction of its request', async () => {
    const { id, grant, credential } = await open()
    expect(await isLetIn(credential)).toBe(true)
    const certificate = new X509Certificate(String(credential['certificate']))
    expect(certificate.subjectAltName).toBe(`URI:spiffe://example.com/task/${id}/internal-api/client`)
    expect(certificate.infoAccess).toContain('http://broker.example.com/v1/ocsp')
    expect(grant).toMatchObject({
      state: 'active',
      adapter: 'x509',
      expiresAt: credential['notAfter'],
      guarantees: { nativeExpiry: 'exact', revocation: 'eventual' },
      handle: { serial: credential['serial'] },
    })
    expect(await trailOf(id)).toEqual(['task.opened', 'grant.requested', 'grant.issued'])
    const client = await connect(world.storeUrl)
    const { rows } = await client.query(
      `select requested_at = issued_at as at_once from taskgrant.grants where id = $1`,
      [grant['id']],
    )
    await client.end()
    expect(rows).toEqual([{ at_once: true }])
  })

  it('is refused once its task is revoked, on every broker, and its neighbour is not', async () => {
    const one = await open()
    const other = await open()
    expect(await isLetIn(one.credential, second.url)).toBe(true)
    const revoked = await admin('POST', `/v1/tasks/${one.id}/revoke`, { reason: 'alert' })
    expect([revoked.status, revoked.body.state]).toEqual([200, 'ended'])
    expect(await isLetIn(one.credential)).toBe(false)
    await expect.poll(() => isLetIn(one.credential, second.url)).toBe(false)
    expect(await isLetIn(other.credential, second.url)).toBe(true)
    expect((await trailOf(one.id)).slice(-4)).toEqual([
      'revocation.ordered',
      'grant.access_ended',
      'grant.removed',
      'task.ended',
    ])
  })

  it('is capped by its task, to the second, also when it is asked for later', async () => {
    const opened = await agent('POST', '/v1/tasks', { purpose: 'late', ttlSeconds: 30 })
    const { id, expiresAt } = opened.body.task
    await delay(2_100)
    for (const headers of [{}, { 'Idempotency-Key': 'late' }]) {
      const added = await agent('POST', `/v1/tasks/${id}/grants`, { ...API, ttlSeconds: 3600 }, headers)
      const { grant, credential } = added.body
      expect(credential.notAfter).toBe(grant.expiresAt)
      const seconds = Math.floor(Date.parse(expiresAt) / 1000) * 1000
      expect(grant.expiresAt).toBe(new Date(seconds).toISOString())
    }
  })

  it('is withdrawn when its call is repeated under the same idempotency key', async () => {
    const key = { 'Idempotency-Key': 'certificate-1' }
    const first = await open([API], key)
    const again = await open([API], key)
    expect(again.id).toBe(first.id)
    expect(await isLetIn(first.credential)).toBe(false)
    expect(await isLetIn(again.credential)).toBe(true)
    const spiffeId = `spiffe://example.com/task/${first.id}/internal-api/client`
    expect(again.credential['spiffeId']).toBe(spiffeId)
  })

  it('comes with a user of a database in one task, all or nothing, and ends with it', async () => {
    const both = await open([API, { resource: 'shop-db', access: 'read' }])
    expect(both.answer.body.grants.map(({ grant }: Opened) => grant['state'])).toEqual(['active', 'active'])
    const trail = await admin('GET', `/v1/tasks/${both.id}/trail`)
    const issued = trail.body.items.find(
      ({ type, resource }: Record<string, unknown>) => type === 'grant.issued' && resource === 'internal-api',
    )
    expect(issued.handle.serial).toBe(both.credential['serial'])
    expect((await agent('POST', `/v1/tasks/${both.id}/end`)).body.state).toBe('ended')
    expect(await isLetIn(both.credential)).toBe(false)
    const refused = await agent('POST', '/v1/tasks', {
      purpose: 'too much',
      key: 'all-or-nothing',
      grants: [API, { resource: 'shop-db', access: 'no-such-access' }],
    })
    expect(refused.status).toBe(400)
    expect((await agent('GET', '/v1/tasks?key=all-or-nothing')).body.items).toEqual([])
  })

  it('is not made by an authority whose time is over, and the trail says so', async () => {
    const { id } = await open([])
    const failed = await agent('POST', `/v1/tasks/${id}/grants`, { resource: 'past-api', access: 'client' })
    expect([failed.status, failed.body.code]).toEqual([502, 'backend_failed'])
    expect(failed.body.detail).toMatch(/authority.*expired/)
    expect(await trailOf(id)).toEqual(['task.opened', 'grant.failed'])
    const ready = await agent('GET', '/readyz')
    expect(ready.body.backends['past-api'].message).toMatch(/expired/)
  })

  it('cannot be renewed', async () => {
    const { grant } = await open()
    const renewed = await agent('POST', `/v1/grants/${String(grant['id'])}/renew`, { ttlSeconds: 600 })
    expect([renewed.status, renewed.body.code]).toEqual([409, 'not_renewable'])
  })
})

describe('a certificate that nobody lists', () => {
  it('keeps its task from ending before its time, and says so instead of pretending', async () => {
    const wish = { resource: 'unlisted-api', access: 'client', ttlSeconds: 6 }
    const { id, grant, credential } = await open([wish])
    expect(grant['guarantees']).toEqual({ nativeExpiry: 'exact', revocation: 'expiry-only' })
    expect(new X509Certificate(String(credential['certificate'])).infoAccess).toBeUndefined()
    const ended = await agent('POST', `/v1/tasks/${id}/end?waitSeconds=1`)
    expect([ended.status, ended.body.state]).toEqual([202, 'ending'])
    expect(ended.body.outstanding).toEqual([
      {
        grantId: grant['id'],
        resource: 'unlisted-api',
        state: 'revoking',
        deferredUntil: credential['notAfter'],
        lastError: null,
      },
    ])
    const reaped = await taskgrant(['reap', '--once', '--json', '-c', world.configFile])
    expect([reaped.code, JSON.parse(reaped.stdout).left]).toEqual([0, []])
    const state = async (): Promise<string> => (await agent('GET', `/v1/tasks/${id}`)).body.task.state
    await expect.poll(state).toBe('ended')
    expect(await trailOf(id)).toEqual([
      'task.opened',
      'grant.requested',
      'grant.issued',
      'task.ending',
      'grant.revoke_deferred',
      'grant.access_ended',
      'grant.removed',
      'task.ended',
    ])
    expect(await isLetIn(credential)).toBe(false)
  })
})

describe('a retry of a call whose certificate nobody lists', () => {
  it('does not leave two good ones: it is told how long the first one lasts', async () => {
    const key = { 'Idempotency-Key': 'unlisted' }
    const first = await open([{ resource: 'unlisted-api', access: 'client', ttlSeconds: 600 }], key)
    const again = await agent(
      'POST',
      '/v1/tasks',
      { purpose: 'call the API', grants: [{ resource: 'unlisted-api', access: 'client', ttlSeconds: 600 }] },
      key,
    )
    expect([again.status, again.body.code]).toEqual([503, 'backend_unavailable'])
    expect(again.body.detail).toContain(first.credential['notAfter'])
    expect(Number(again.headers.get('retry-after'))).toBeGreaterThan(500)
  })
})

describe('a store that is away', () => {
  it('lets no certificate out, and none stays recorded that nobody has', async () => {
    const { id } = await open([])
    store.holdBack = (data) => data.includes('grant.issued')
    const answer = agent('POST', `/v1/tasks/${id}/grants`, API)
    await expect.poll(() => store.heldBack).toBeGreaterThan(0)
    // It arrives, and the answer that it did is lost.
    store.deliverAndCut()
    expect((await answer).status).toBe(503)
    const states = async (): Promise<string[]> =>
      (await agent('GET', `/v1/tasks/${id}`)).body.grants?.map(({ state }: { state: string }) => state)
    await expect.poll(states).toEqual(['revoked'])
  })

  it('keeps lists and answers from being given, and both are back with it', async () => {
    store.mode = 'refuse'
    store.cut()
    await expect.poll(async () => (await fetch(new URL('/v1/crl.pem', broker.url))).status).toBe(503)
    store.mode = 'pass'
    await expect.poll(async () => (await fetch(new URL('/v1/crl.pem', broker.url))).status).toBe(200)
  })
})
