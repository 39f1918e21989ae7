import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startAwsDemo, type AwsDemo } from '../../broker/dev/aws-demo.ts'
import { signedGet, type SessionKeys } from '../../scripts/demo/signed-get.ts'
import { apiOf } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { cuts, killAt } from '../support/kill-at.ts'
import { connect } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { readCrl } from '../support/read-crl.ts'
import { createWorld, type World } from '../support/world.ts'

/** Longer than the broker's own: after it, no issue that was under way can take hold any more. */
const STALE_MS = 21_000
const API = { resource: 'internal-api', access: 'client' }
const AWS = { resource: 'aws-demo', access: 'read' }

let world: World
let store: Proxy
let backend: Proxy
let aws: AwsDemo

beforeAll(async () => {
  world = await createWorld()
  aws = await startAwsDemo()
  store = await startProxy(world.storeUrl)
  backend = await startProxy(aws.emulator.url)
  await world.configure({
    store: { url: store.through(world.storeUrl), poolSize: 10 },
    resources: {
      'internal-api': {
        adapter: 'x509',
        trustDomain: 'example.com',
        ca: { createdInFolder: './ca' },
        access: { client: {} },
      },
      'aws-demo': { ...aws.resource, endpoint: backend.through(aws.emulator.url) },
    },
  })
})

afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await backend[Symbol.asyncDispose]()
  await aws.emulator.close()
  await world[Symbol.asyncDispose]()
})

interface Received {
  readonly grantId: string
  readonly credential: { readonly kind: string; readonly serial: string } & SessionKeys
}

/** Certificates alone, with a session, and one more; an end. Answers what it got until the broker was gone. */
async function useBroker(broker: BrokerProcess): Promise<Received[]> {
  const agent = apiOf(broker.url, await world.token('mcp-crash'))
  const received: Received[] = []
  const receive = (minted: { grant: { id: string }; credential: Received['credential'] }[]): void => {
    for (const { grant, credential } of minted) received.push({ grantId: grant.id, credential })
  }
  try {
    const alone = await agent('POST', '/v1/tasks', { purpose: 'crash', grants: [API] })
    if (alone.status === 201) receive(alone.body.grants)
    const added = await agent('POST', `/v1/tasks/${alone.body.task.id}/grants`, API)
    if (added.status === 201) receive([added.body])
    const both = await agent('POST', '/v1/tasks', { purpose: 'crash', grants: [API, AWS] })
    if (both.status === 201) receive(both.body.grants)
    await agent('POST', `/v1/tasks/${both.body.task.id}/end`)
    await agent('POST', `/v1/tasks/${alone.body.task.id}/end`)
  } catch {
    // The broker was killed meanwhile: that is what this is about.
  }
  return received
}

interface Row {
  readonly id: string
  readonly resource: string
  readonly state: string
  readonly handle: { readonly serial?: string; readonly sessionName?: string }
  readonly task: string
  readonly issued: boolean
}

async function readGrants(): Promise<Row[]> {
  const client = await connect(world.storeUrl)
  const { rows } = await client.query<Row>(
    `select g.id, g.resource, g.state, g.handle, t.state as task,
       exists (select from taskgrant.audit_events as e where e.grant_id = g.id and e.type = 'grant.issued') as issued
     from taskgrant.grants as g join taskgrant.tasks as t on t.id = g.task_id`,
  )
  await client.end()
  return rows
}

async function serialsOnList(): Promise<ReadonlySet<string>> {
  await using broker = await startBrokerProcess(world.configFile)
  const list = await fetch(new URL('/v1/crl.der', broker.url))
  return readCrl(Buffer.from(await list.arrayBuffer())).serials
}

describe('a broker that is killed between any two messages', () => {
  it(
    'leaves no certificate and no session that is good without a live grant',
    { timeout: 900_000 },
    async () => {
      const received: Received[] = []
      for (const cut of cuts(14)) received.push(...(await killAt(world.configFile, store, cut, useBroker)))
      for (const cut of cuts(3)) received.push(...(await killAt(world.configFile, backend, cut, useBroker)))
      await delay(STALE_MS)
      const reaped = await taskgrant(['reap', '--once', '--json', '-c', world.configFile])
      expect(reaped.code, reaped.stdout + reaped.stderr).toBe(0)
      expect(JSON.parse(reaped.stdout)).toMatchObject({ left: [], failures: [] })

      const grants = await readGrants()
      expect(new Set(grants.map(({ state }) => state))).toEqual(new Set(['active', 'revoked']))
      expect(grants.some(({ task }) => task === 'ending')).toBe(false)
      const active = grants.filter(({ state }) => state === 'active')
      expect(active.every(({ issued, task }) => issued && task === 'open')).toBe(true)

      const isActive = new Set(active.map(({ id }) => id))
      const listed = await serialsOnList()
      expect(received.length).toBeGreaterThan(20)
      for (const { grantId, credential } of received) {
        if (credential.kind === 'x509') {
          expect(listed.has(credential.serial), grantId).toBe(!isActive.has(grantId))
        } else {
          const { status } = await signedGet(new URL('/reports/2026-01.csv', aws.emulator.url), credential)
          expect(status, grantId).toBe(isActive.has(grantId) ? 200 : 403)
        }
      }
      // Sessions that AWS opened and nobody received are denied like those that were withdrawn.
      const denials = [...aws.emulator.rolePolicies('reports-reader').values()].join('')
      const live = new Set(active.map(({ handle }) => handle.sessionName))
      const opened = aws.emulator.calls.filter(
        ({ action, error }) => action === 'AssumeRole' && error === undefined,
      )
      expect(opened.length).toBeGreaterThan(10)
      for (const { parameters } of opened) {
        const name = parameters['RoleSessionName'] ?? ''
        expect(denials.includes(name.slice(-16)), name).toBe(!live.has(name))
      }
    },
  )
})
