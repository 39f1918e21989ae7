import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf, type Api, type ApiAnswer } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { makeIdentity, writeIdentity } from '../support/certificates.ts'
import { greet, identityOf, startMutualTls, type MutualTlsServer } from '../support/mutual-tls.ts'
import { connect } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { createWorld, type World } from '../support/world.ts'

const API = { resource: 'internal-api', access: 'client' }

let world: World
let store: Proxy
let broker: BrokerProcess
let second: BrokerProcess
let agent: Api
let admin: Api
let server: MutualTlsServer
let roots: string

beforeAll(async () => {
  world = await createWorld()
  store = await startProxy(world.storeUrl)
  const past = makeIdentity({ name: 'past', notAfter: new Date(Date.now() - 60_000) })
  const authority = { adapter: 'x509', trustDomain: 'example.com', ca: { createdInFolder: './ca' } }
  await world.configure({
    store: { url: store.through(world.storeUrl), poolSize: 10 },
    publicUrl: 'http://broker.example.com',
    resources: {
      'internal-api': {
        ...authority,
        access: { client: {}, server: { usages: ['server'], dnsNames: ['localhost', '*.mcp.internal'] } },
      },
      'past-api': {
        ...authority,
        ca: await writeIdentity(join(world.folder, 'past'), past),
        access: { client: {} },
      },
      'unlisted-api': { ...authority, revocation: 'none', access: { client: {} } },
      'shop-db': { adapter: 'postgres', admin: world.shopUrl, access: { read: { memberOf: world.reader } } },
    },
  })
  broker = await startBrokerProcess(world.configFile)
  second = await startBrokerProcess(world.configFile)
  agent = apiOf(broker.url, await world.token('mcp-orders'))
  admin = apiOf(broker.url, await world.token('admin-alert'))
  const { credential } = await open([{ ...API, access: 'server', params: { dnsNames: ['localhost'] } }])
  roots = credential['ca'] as string
  server = await startMutualTls(identityOf(credential as never), roots)
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await second[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

interface Opened {
  readonly id: string
  readonly answer: ApiAnswer
  readonly grant: Record<string, unknown>
  readonly credential: Record<string, unknown>
}

async function open(grants: unknown[] = [API], headers: Record<string, string> = {}): Promise<Opened> {
  const answer = await agent('POST', '/v1/tasks', { purpose: 'call the API', grants }, headers)
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  const { grant, credential } = answer.body.grants[0] ?? {}
  return { id: answer.body.task.id, answer, grant, credential }
}

/** Whether a server that loads the list of this broker now lets the client in. */
async function isLetIn(credential: Record<string, unknown>, url = broker.url): Promise<boolean> {
  const list = await fetch(new URL('/v1/crl.pem', url))
  expect(list.status).toBe(200)
  server.trust(roots, await list.text())
  const client = identityOf(credential as never)
  return greet(server.port, client, roots).then(
    () => true,
    () => false,
  )
}

async function trailOf(id: string): Promise<string[]> {
  const { body } = await admin('GET', `/v1/tasks/${id}/trail`)
  return body.items.map(({ type }: { type: string }) => type)
}

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

describe('what a caller asks for with a certificate', () => {
  it.each([
    ['params.csr', { csr: '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----' }],
    ['params.csr', { csr: 'x'.repeat(20_000) }],
    ['params.dnsNames.0', { dnsNames: ['api.example.com'] }],
    ['params.format', { format: 'jks' }],
    ['params', { subject: 'CN=root' }],
  ])('is refused with its place if it is wrong: %s', async (path, params) => {
    const { id } = await open([])
    const answer = await agent('POST', `/v1/tasks/${id}/grants`, { ...API, params })
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request'])
    expect(answer.body.errors[0].path).toBe(path)
  })

  it('gives a name that the access allows, and a PKCS #12 file if wanted', async () => {
    const { credential } = await open([
      { ...API, access: 'server', params: { dnsNames: ['orders.mcp.internal'], format: 'pkcs12' } },
    ])
    expect(
      new X509Certificate(String(credential['certificate'])).checkHost('orders.mcp.internal'),
    ).toBeDefined()
    expect(credential['privateKey']).toBeUndefined()
    expect(String(credential['pkcs12']).length).toBeGreaterThan(500)
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

describe('what verifiers ask for', () => {
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(new URL(path, broker.url), { headers })
  const ask = (
    body: string | Uint8Array<ArrayBuffer>,
    type = 'application/ocsp-request',
  ): Promise<Response> =>
    fetch(new URL('/v1/ocsp', broker.url), { method: 'POST', body, headers: { 'Content-Type': type } })
  const hex = async (response: Response): Promise<string> =>
    Buffer.from(await response.arrayBuffer()).toString('hex')
  const MALFORMED = '30030a0101'

  it('names its authority where there are several', async () => {
    const { grant } = await open()
    const { authority } = grant['handle'] as { authority: string }
    const several = await agent('GET', '/v1/crl.der')
    expect([several.status, several.body.errors[0].path]).toEqual([400, 'issuer'])
    expect(several.body.errors[0].message).toContain(authority)
    for (const path of ['/v1/crl.der', '/v1/crl.pem', '/v1/ca.der', '/v1/ca.pem']) {
      expect((await get(`${path}?issuer=${authority}`)).status, path).toBe(200)
      expect((await get(`${path}?issuer=${'0'.repeat(32)}`)).status, path).toBe(404)
      expect((await get(`${path}?issuer=../../etc`)).status, path).toBe(400)
    }
    expect((await (await get('/v1/ca.pem')).text()).match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })

  it('is sent again only if it has changed', async () => {
    const first = await get('/v1/crl.pem')
    const known = { 'If-None-Match': String(first.headers.get('etag')) }
    const same = await get('/v1/crl.pem', known)
    expect([same.status, await same.text()]).toEqual([304, ''])
    const { id } = await open()
    await agent('POST', `/v1/tasks/${id}/end`)
    expect((await get('/v1/crl.pem', known)).status).toBe(200)
  })

  it('is answered whatever it is, and never with an error of ours', async () => {
    expect((await ask('{}', 'application/json')).status).toBe(415)
    expect((await ask(new Uint8Array(20_000))).status).toBe(413)
    for (const body of [new Uint8Array(0), new Uint8Array([0x30, 0x80]), 'not DER']) {
      const answer = await ask(body)
      expect([answer.status, await hex(answer)]).toEqual([200, MALFORMED])
      expect(answer.headers.get('content-type')).toBe('application/ocsp-response')
    }
    expect(await hex(await get('/v1/ocsp/MIIB//8='))).toBe(MALFORMED)
    expect(await hex(await get('/v1/ocsp/MIIB%2F%2F8%3D'))).toBe(MALFORMED)
    for (const odd of ['%', '%00', 'a%20b', '%FF', 'A'.repeat(5_000)]) {
      expect((await get(`/v1/ocsp/${odd}`)).status, odd.slice(0, 10)).toBe(400)
    }
    expect((await get('/v1/ocsp')).status).toBe(405)
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
