import { request } from 'node:http'
import { connect as connectTcp } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, type BrokerProcess } from '../support/broker-process.ts'
import { connect } from '../support/postgres.ts'
import { createWorld, type World } from '../support/world.ts'

let world: World
let broker: BrokerProcess
let agent: Api
let token: string

beforeAll(async () => {
  world = await createWorld()
  broker = await startBrokerProcess(world.configFile)
  token = await world.token('mcp-orders')
  agent = apiOf(broker.url, token)
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

async function counts(): Promise<unknown> {
  const store = await connect(world.storeUrl)
  const rows = await store.query(
    'select (select count(*) from taskgrant.tasks) as tasks, (select count(*) from taskgrant.grants) as grants',
  )
  await store.end()
  return rows.rows[0]
}

/** A request whose path is sent as it is. */
async function raw(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      broker.url,
      { method, path, headers: { Authorization: `Bearer ${token}`, ...headers } },
      (response) => {
        let text = ''
        response.on('data', (chunk) => (text += String(chunk)))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }),
        )
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

const wish = { resource: 'shop-db', access: 'read' }
const deep = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`)

const BAD_TASKS: Record<string, unknown> = {
  'no purpose': {},
  'an empty purpose': { purpose: '' },
  'a purpose over 500 characters': { purpose: 'x'.repeat(501) },
  'a NUL': { purpose: 'a\u0000b' },
  'a line break': { purpose: 'a\nforged line' },
  'a lone surrogate': '{"purpose":"\\ud800"}',
  'a number for a purpose': { purpose: 7 },
  'an unknown key': { purpose: 'x', ttl: 5 },
  'a negative time': { purpose: 'x', ttlSeconds: -1 },
  'a fraction of a second': { purpose: 'x', ttlSeconds: 1.5 },
  'more than a year': { purpose: 'x', ttlSeconds: 31_536_001 },
  'a huge number': '{"purpose":"x","ttlSeconds":1e400}',
  'a hundred and one grants': { purpose: 'x', grants: Array.from({ length: 101 }, () => wish) },
  'grants that are no list': { purpose: 'x', grants: { 0: wish } },
  'a label with a hostile name': { purpose: 'x', labels: { "'; drop table tasks": 'x' } },
  'a label with a NUL': { purpose: 'x', labels: { a: '\u0000' } },
  'a label called __proto__': '{"purpose":"x","labels":{"__proto__":"x"}}',
  'params that are nested deeply': { purpose: 'x', grants: [{ ...wish, params: deep(200) }] },
  'params that the adapter does not know': {
    purpose: 'x',
    grants: [{ ...wish, params: { superuser: true } }],
  },
  'an access that is not there': { purpose: 'x', grants: [{ resource: 'shop-db', access: 'nope' }] },
  'a resource that is not there': { purpose: 'x', grants: [{ resource: "shop-db'--", access: 'read' }] },
  'a user token that is none': { purpose: 'x', onBehalfOf: 'not.a.token' },
  'a workload token for a user': { purpose: 'x', onBehalfOf: 'WORKLOAD' },
  'JSON that is cut off': '{"purpose":"x"',
  'an array': [],
  'a string': '"purpose"',
  null: 'null',
  'brackets, 60,000 deep': '['.repeat(60_000),
}

describe('a task', () => {
  it.each(Object.entries(BAD_TASKS))(
    'with %s is refused with a code and changes nothing',
    async (_name, body) => {
      const before = await counts()
      const sent = JSON.stringify(body).includes('WORKLOAD') ? { purpose: 'x', onBehalfOf: token } : body
      const answer = await agent('POST', '/v1/tasks', sent)
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request'])
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      expect(JSON.stringify(answer.body)).not.toMatch(/\bat .*\.(js|ts):\d/)
      expect(await counts()).toEqual(before)
    },
  )
})

const ID = '01890000-0000-7000-8000-000000000000'
const BAD_CALLS: [string, string, unknown, number, string][] = [
  ['GET', '/v1/tasks?limit=0', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?limit=1001', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?limit=ten', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?limit=1&limit=2', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?after=%00', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?state=lost', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?typo=1', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks?key=%00', undefined, 400, 'invalid_request'],
  ['GET', '/v1/tasks/not-a-uuid', undefined, 400, 'invalid_request'],
  ['GET', `/v1/tasks/${ID}`, undefined, 404, 'not_found'],
  ['GET', `/v1/tasks/${ID}/trail`, undefined, 404, 'not_found'],
  ['GET', `/v1/tasks/${ID}/trail?after=-1`, undefined, 400, 'invalid_request'],
  ['POST', `/v1/tasks/${ID}/end`, undefined, 404, 'not_found'],
  ['POST', `/v1/tasks/${ID}/end?waitSeconds=1e9`, undefined, 400, 'invalid_request'],
  ['POST', `/v1/tasks/${ID}/end`, { force: true }, 400, 'invalid_request'],
  ['POST', `/v1/tasks/${ID}/revoke`, undefined, 400, 'invalid_request'],
  ['POST', `/v1/tasks/${ID}/revoke`, { reason: '' }, 400, 'invalid_request'],
  ['POST', `/v1/tasks/${ID}/grants`, wish, 404, 'not_found'],
  ['POST', `/v1/tasks/${ID}/grants`, {}, 400, 'invalid_request'],
  ['GET', '/v1/grants?stuck=maybe', undefined, 400, 'invalid_request'],
  ['GET', `/v1/grants/${ID}`, undefined, 404, 'not_found'],
  ['POST', `/v1/grants/${ID}/renew`, { ttlSeconds: 'long' }, 400, 'invalid_request'],
  ['POST', `/v1/grants/${ID}/revoke`, undefined, 404, 'not_found'],
  ['POST', '/v1/revocations', { reason: 'x' }, 400, 'invalid_request'],
  ['POST', '/v1/revocations', { all: true, workload: 'x', reason: 'x' }, 400, 'invalid_request'],
  ['POST', '/v1/revocations', { all: true, reason: 'x' }, 403, 'denied'],
  ['GET', '/v1/audit?after=x', undefined, 400, 'invalid_request'],
  ['GET', '/v1/audit?since=yesterday', undefined, 400, 'invalid_request'],
  ['GET', '/v1/audit', undefined, 403, 'denied'],
  ['GET', '/v1/resources?x=1', undefined, 400, 'invalid_request'],
  ['GET', '/v2/tasks', undefined, 404, 'not_found'],
  ['GET', '/v1/tasks/', undefined, 404, 'not_found'],
  ['GET', '/V1/TASKS', undefined, 404, 'not_found'],
]

describe('the API', () => {
  it.each(BAD_CALLS)('answers %s %s (%j) with a problem', async (method, path, body, status, code) => {
    const answer = await agent(method as 'GET' | 'POST', path, body)
    expect([answer.status, answer.body.code]).toEqual([status, code])
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'))
  })

  it('names what is wrong, and where', async () => {
    const grants = [wish, { ...wish, ttlSeconds: 0 }]
    const answer = await agent('POST', '/v1/tasks', { purpose: 'x', grants })
    expect(answer.body.errors).toEqual([{ path: 'grants.1.ttlSeconds', message: expect.any(String) }])
  })

  it('refuses methods with the ones that it allows', async () => {
    const answer = await raw('DELETE', '/v1/tasks')
    expect([answer.status, answer.headers['allow']]).toEqual([405, 'POST, GET'])
    expect(answer.body).toContain('"method_not_allowed"')
  })

  it('refuses broken percent-encoding, other media types, encodings and huge bodies', async () => {
    expect((await raw('GET', '/v1/tasks/%E0%A4%A')).status).toBe(400)
    const post = (headers: Record<string, string>, body: string) => raw('POST', '/v1/tasks', headers, body)
    expect((await post({ 'Content-Type': 'text/plain' }, '{"purpose":"x"}')).status).toBe(415)
    expect((await post({}, '{"purpose":"x"}')).status).toBe(415)
    const gzip = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }
    expect((await post(gzip, 'x')).status).toBe(415)
    const huge = await post(
      { 'Content-Type': 'application/json' },
      JSON.stringify({ purpose: 'x'.repeat(200_000) }),
    )
    expect([huge.status, JSON.parse(huge.body).code]).toEqual([413, 'payload_too_large'])
    const key = { 'Content-Type': 'application/json', 'Idempotency-Key': 'x'.repeat(129) }
    expect((await post(key, '{"purpose":"x"}')).status).toBe(400)
  })

  it('answers what is hardly HTTP with a problem, and goes on', async () => {
    const speak = async (text: string): Promise<string> =>
      new Promise((resolve) => {
        const { hostname, port } = new URL(broker.url)
        const socket = connectTcp(Number(port), hostname, () => socket.write(text))
        let answer = ''
        socket.on('data', (data) => (answer += String(data)))
        socket.on('close', () => resolve(answer))
        socket.on('error', () => resolve(answer))
      })
    expect(await speak('HELLO\r\n\r\n')).toMatch(/^HTTP\/1.1 400 [\s\S]*invalid_request/)
    expect(await speak(`GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(40_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 /,
    )
    const smuggled =
      'POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
    expect(await speak(smuggled)).toMatch(/^HTTP\/1.1 400 /)
    expect((await agent('GET', '/livez')).status).toBe(200)
  })

  it('knows nobody without a token, and says how to send one', async () => {
    for (const [name, headers] of Object.entries({
      none: { Authorization: '' },
      basic: { Authorization: 'Basic YTpi' },
      garbage: { Authorization: 'Bearer ....' },
      forged: { Authorization: `Bearer ${token.slice(0, -4)}AAAA` },
      'for users': { Authorization: `Bearer ${await world.userToken('mcp-orders')}` },
    })) {
      const answer = await agent('GET', '/v1/tasks', undefined, headers)
      expect([name, answer.status, answer.body.code]).toEqual([name, 401, 'unauthenticated'])
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
    }
  })

  it('sends security headers, and never lets an answer with a secret be stored', async () => {
    const answer = await agent('POST', '/v1/tasks', { purpose: 'x', grants: [wish] })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('x-powered-by')).toBeNull()
  })

  it('describes itself in OpenAPI 3.1, every operation and the problem included', async () => {
    const { body } = await agent('GET', '/openapi.json')
    expect(body.openapi).toBe('3.1.0')
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining([
        '/v1/tasks',
        '/v1/tasks/{id}/grants',
        '/v1/grants/{id}/renew',
        '/v1/revocations',
        '/readyz',
      ]),
    )
    const text = JSON.stringify(body)
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(body.components.schemas).toHaveProperty(String(name))
    }
    expect(text).not.toContain('$defs')
  })
})
