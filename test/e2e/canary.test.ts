import { afterAll, beforeAll, expect, it } from 'vitest'
import { apiOf } from '../support/api.ts'
import { startBrokerProcess, type BrokerProcess } from '../support/broker-process.ts'
import { connect } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { createWorld, type World } from '../support/world.ts'

let world: World
let backend: Proxy
let broker: BrokerProcess

beforeAll(async () => {
  world = await createWorld()
  backend = await startProxy(world.shopUrl)
  await world.configure({
    log: { level: 'trace' },
    resources: {
      'shop-db': {
        adapter: 'postgres',
        admin: backend.through(world.shopUrl),
        access: { read: { memberOf: world.reader } },
      },
    },
  })
  broker = await startBrokerProcess(world.configFile)
})

afterAll(async () => {
  await broker[Symbol.asyncDispose]()
  await backend[Symbol.asyncDispose]()
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

it(
  'no password and no token is in the store, in trace logs, in metrics or in errors',
  { timeout: 90_000 },
  async () => {
    const token = await world.token('mcp-canary')
    const userToken = await world.userToken('user-canary')
    const agent = apiOf(broker.url, token)
    const secrets = new Set<string>([token, userToken])
    const told: string[] = []
    const wish = { resource: 'shop-db', access: 'read' }
    for (let round = 0; round < 10; round += 1) {
      const grants = Array.from({ length: 10 }, () => wish)
      const key = { 'Idempotency-Key': `canary-${round}` }
      const opened = await agent(
        'POST',
        '/v1/tasks',
        { purpose: 'canary', onBehalfOf: userToken, grants },
        key,
      )
      expect(opened.status).toBe(201)
      for (const { credential } of opened.body.grants) secrets.add(credential.password)
      const { id } = opened.body.grants[0].grant
      const answers = [
        await agent('POST', `/v1/grants/${id}/renew`, { ttlSeconds: 60 }),
        await agent('GET', `/v1/tasks/${opened.body.task.id}`),
        await agent('POST', `/v1/tasks/${opened.body.task.id}/grants`, { ...wish, access: userToken }),
        await agent('POST', '/v1/tasks', { purpose: 'x', onBehalfOf: `${userToken}x` }),
        await agent('POST', '/v1/tasks', { purpose: 'x' }, { Authorization: `Bearer ${token}x` }),
        await agent('POST', '/v1/tasks', `{"purpose": "x", "onBehalfOf": "${userToken}"`),
        await agent('GET', `/v1/tasks/${opened.body.task.id}/trail`),
      ]
      if (round % 3 === 0) backend.cut()
      answers.push(await agent('POST', `/v1/tasks/${opened.body.task.id}/end`))
      told.push(...answers.map(({ body }) => JSON.stringify(body)))
    }
    backend.mode = 'refuse'
    backend.cut()
    told.push(JSON.stringify((await agent('POST', '/v1/tasks', { purpose: 'x', grants: [wish] })).body))
    const metrics = await (await fetch(new URL('/metrics', broker.url))).text()
    await broker.kill('SIGTERM')

    expect(secrets.size).toBe(102)
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
