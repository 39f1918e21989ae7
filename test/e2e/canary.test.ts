import { createPrivateKey } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startAwsDemo, type AwsDemo } from '../../broker/dev/aws-demo.ts'
import { apiOf } from '../support/api.ts'
import { startBrokerProcess, type BrokerProcess } from '../support/broker-process.ts'
import { connect } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { createWorld, type World } from '../support/world.ts'

let world: World
let backend: Proxy
let broker: BrokerProcess
let aws: AwsDemo

beforeAll(async () => {
  world = await createWorld()
  backend = await startProxy(world.shopUrl)
  aws = await startAwsDemo()
  await world.configure({
    log: { level: 'trace' },
    resources: {
      'shop-db': {
        adapter: 'postgres',
        admin: backend.through(world.shopUrl),
        access: { read: { memberOf: world.reader } },
      },
      'internal-api': {
        adapter: 'x509',
        trustDomain: 'example.com',
        ca: { createdInFolder: './ca' },
        access: { client: {} },
      },
      'aws-demo': aws.resource,
    },
  })
  broker = await startBrokerProcess(world.configFile)
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  await backend[Symbol.asyncDispose]()
  await aws.emulator.close()
  await world[Symbol.asyncDispose]()
})

/** Every row of every table of the store, as text. */
async function dump(): Promise<string> {
  const client = await connect(world.storeUrl)
  const tables = await client.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  )
  const rows: string[] = []
  for (const { name } of tables.rows) {
    const all = await client.query<{ row: string }>(`select t::text as row from ${name} as t`)
    rows.push(...all.rows.map(({ row }) => row))
  }
  await client.end()
  return rows.join('\n')
}

/** What must be nowhere of a credential. Of a private key also its number, as other formats write it. */
function secretsOf(credential: Record<string, string>): string[] {
  const { password, privateKey, pkcs12, pkcs12Password, secretAccessKey, sessionToken } = credential
  const found = [password, pkcs12?.slice(100, 200), pkcs12Password, secretAccessKey, sessionToken]
  if (privateKey !== undefined) {
    const number = createPrivateKey(privateKey).export({ format: 'jwk' }).d ?? ''
    found.push(privateKey.split('\n')[2], number, Buffer.from(number, 'base64url').toString('hex'))
  }
  return found.filter((secret) => secret !== undefined)
}

it(
  'no password, key or token is in the store, in trace logs, in metrics or in errors',
  { timeout: 90_000 },
  async () => {
    const token = await world.token('mcp-canary')
    const userToken = await world.userToken('user-canary')
    const agent = apiOf(broker.url, token)
    const secrets = new Set<string>([token, userToken])
    const told: string[] = []
    const wish = { resource: 'shop-db', access: 'read' }
    const api = { resource: 'internal-api', access: 'client' }
    const mixed = [api, { ...api, params: { format: 'pkcs12' } }, { resource: 'aws-demo', access: 'read' }]
    for (let round = 0; round < 10; round += 1) {
      const grants = [...Array.from({ length: 10 }, () => wish), ...mixed]
      const key = { 'Idempotency-Key': `canary-${round}` }
      const opened = await agent(
        'POST',
        '/v1/tasks',
        { purpose: 'canary', onBehalfOf: userToken, grants },
        key,
      )
      expect(opened.status).toBe(201)
      for (const { credential } of opened.body.grants)
        for (const secret of secretsOf(credential)) secrets.add(secret)
      const { id } = opened.body.grants[0].grant
      const answers = [
        await agent('POST', `/v1/grants/${id}/renew`, { ttlSeconds: 60 }),
        await agent('GET', `/v1/tasks/${opened.body.task.id}`),
        await agent('POST', `/v1/tasks/${opened.body.task.id}/grants`, { ...wish, access: userToken }),
        await agent('POST', '/v1/tasks', { purpose: 'x', onBehalfOf: `${userToken}x` }),
        await agent('POST', '/v1/tasks', { purpose: 'x' }, { Authorization: `Bearer ${token}x` }),
        await agent('POST', '/v1/tasks', `{"purpose": "x", "onBehalfOf": "${userToken}"`),
        await agent('POST', `/v1/tasks/${opened.body.task.id}/grants`, {
          ...api,
          params: { csr: userToken },
        }),
        await agent('GET', `/v1/tasks/${opened.body.task.id}/trail`),
      ]
      if (round % 3 === 0) backend.cut()
      if (round % 3 === 1) aws.emulator.failNext('PutRolePolicy', 'lostAnswer')
      if (round % 3 === 2) aws.emulator.failNext('PutRolePolicy', 'unavailable', 9)
      answers.push(await agent('POST', `/v1/tasks/${opened.body.task.id}/end`))
      told.push(...answers.map(({ body }) => JSON.stringify(body)))
    }
    backend.mode = 'refuse'
    backend.cut()
    aws.emulator.failNext('AssumeRole', 'unavailable', 9)
    for (const failing of [wish, { resource: 'aws-demo', access: 'read' }]) {
      told.push(JSON.stringify((await agent('POST', '/v1/tasks', { purpose: 'x', grants: [failing] })).body))
    }
    const metrics = await (await fetch(new URL('/metrics', broker.url))).text()
    await broker.kill('SIGTERM')

    // Two tokens; in each round ten passwords, a key in three spellings, a file with its password, two of AWS.
    expect(secrets.size).toBe(2 + 10 * (10 + 3 + 2 + 2))
    secrets.add(aws.broker.credentials.secretAccessKey)
    const places = { store: await dump(), logs: broker.output(), metrics, answers: told.join('\n') }
    const admin = new URL(world.shopUrl).password
    for (const [place, text] of Object.entries(places)) {
      expect(text.length, place).toBeGreaterThan(1_000)
      for (const secret of secrets) {
        // The signature alone would be enough for nobody, and proves that no part of a token is there either.
        const needle = secret.includes('.') ? (secret.split('.')[2] ?? secret) : secret
        expect(text.includes(needle), `a secret is in ${place}`).toBe(false)
      }
      if (admin.length > 8)
        expect(text.includes(admin), `the administrator's password is in ${place}`).toBe(false)
    }
  },
)
