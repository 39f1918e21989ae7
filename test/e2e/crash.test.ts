import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf } from '../support/api.ts'
import { taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { canLogIn, taskRoles } from '../support/database-user.ts'
import { cuts, killAt } from '../support/kill-at.ts'
import { connect } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { createWorld, type World } from '../support/world.ts'

/** Longer than the broker's own: after it, no issue that was under way can take hold any more. */
const STALE_MS = 21_000

let world: World
let store: Proxy
let backend: Proxy

beforeAll(async () => {
  world = await createWorld()
  store = await startProxy(world.storeUrl)
  backend = await startProxy(world.shopUrl)
  await world.configure({
    store: { url: store.through(world.storeUrl), poolSize: 10 },
    resources: {
      'shop-db': {
        adapter: 'postgres',
        admin: backend.through(world.shopUrl),
        access: { read: { memberOf: world.reader } },
      },
    },
  })
})

afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await backend[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

/** Opens a task, renews and adds a grant, and ends the task, until the broker is gone. Answers the logins it got. */
async function useBroker(broker: BrokerProcess): Promise<string[]> {
  const agent = apiOf(broker.url, await world.token('mcp-crash'))
  const uris: string[] = []
  try {
    const wish = { resource: 'shop-db', access: 'read', ttlSeconds: 600 }
    const opened = await agent('POST', '/v1/tasks', { purpose: 'crash', grants: [wish] })
    if (opened.status !== 201) return uris
    uris.push(opened.body.grants[0].credential.uri)
    await agent('POST', `/v1/grants/${opened.body.grants[0].grant.id}/renew`, { ttlSeconds: 900 })
    const added = await agent('POST', `/v1/tasks/${opened.body.task.id}/grants`, wish)
    if (added.status === 201) uris.push(added.body.credential.uri)
    await agent('POST', `/v1/tasks/${opened.body.task.id}/end`)
  } catch {
    // The broker was killed meanwhile: that is what this is about.
  }
  return uris
}

const CUTS = cuts(14)

describe('a broker that is killed between any two messages', () => {
  it('leaves nothing that the next reap does not put right', { timeout: 900_000 }, async () => {
    const uris: string[] = []
    for (const wire of [store, backend])
      for (const cut of CUTS) uris.push(...(await killAt(world.configFile, wire, cut, useBroker)))
    await new Promise((resolve) => setTimeout(resolve, STALE_MS))
    const reaped = await taskgrant(['reap', '--once', '--json', '-c', world.configFile])
    expect(reaped.code, reaped.stdout + reaped.stderr).toBe(0)
    expect(JSON.parse(reaped.stdout)).toMatchObject({ left: [], failures: [] })

    const client = await connect(world.storeUrl)
    const grants = await client.query<{ state: string; role: string; task: string; issued: boolean }>(
      `select g.state, g.handle ->> 'role' as role, t.state as task,
         exists (select from taskgrant.audit_events as e where e.grant_id = g.id and e.type = 'grant.issued') as issued
       from taskgrant.grants as g join taskgrant.tasks as t on t.id = g.task_id`,
    )
    const { store_id: storeId } = (await client.query('select store_id from taskgrant.store')).rows[0]
    const halfEnded = await client.query(`select from taskgrant.tasks where state = 'ending'`)
    await client.end()

    expect(grants.rowCount).toBeGreaterThan(CUTS.length)
    expect(halfEnded.rowCount).toBe(0)
    expect(new Set(grants.rows.map(({ state }) => state))).toEqual(new Set(['active', 'revoked']))
    const active = grants.rows.filter(({ state }) => state === 'active')
    expect(active.every(({ issued, task }) => issued && task === 'open')).toBe(true)
    // Three truths agree: what the store calls active is what exists, and nothing else exists.
    expect((await taskRoles(world.shopUrl, storeId)).toSorted()).toEqual(
      active.map(({ role }) => role).toSorted(),
    )
    for (const uri of uris) {
      const login = new URL(uri)
      const alive = active.some(({ role }) => role === login.username)
      login.host = new URL(world.shopUrl).host
      expect(await canLogIn(login.href)).toBe(alive)
    }
  })
})
