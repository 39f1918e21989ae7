import { join } from 'node:path'
import { expect } from 'vitest'
import { apiOf, type Api, type ApiAnswer } from './api.ts'
import { startBrokerProcess, type BrokerProcess } from './broker-process.ts'
import { makeIdentity, writeIdentity } from './certificates.ts'
import { greet, identityOf, startMutualTls } from './mutual-tls.ts'
import { startProxy, type Proxy } from './proxy.ts'
import { createWorld, type World } from './world.ts'

export const API = { resource: 'internal-api', access: 'client' }

export interface Opened {
  readonly id: string
  readonly answer: ApiAnswer
  readonly grant: Record<string, unknown>
  readonly credential: Record<string, unknown>
}

/** Two brokers that certify, and a server that asks for certificates. */
export interface CertificateScene extends AsyncDisposable {
  readonly world: World
  /** On the way to the store. */
  readonly store: Proxy
  readonly broker: BrokerProcess
  readonly second: BrokerProcess
  readonly agent: Api
  readonly admin: Api
  open(grants?: unknown[], headers?: Record<string, string>): Promise<Opened>
  /** Whether a server that loads the list of a broker now lets the client in. */
  isLetIn(credential: Record<string, unknown>, url?: string): Promise<boolean>
  trailOf(taskId: string): Promise<string[]>
}

async function configure(world: World, store: Proxy): Promise<void> {
  const past = makeIdentity({ name: 'past', notAfter: new Date(Date.now() - 60_000) })
  const authority = { adapter: 'x509', trustDomain: 'example.com', ca: { createdInFolder: './ca' } }
  const server = { usages: ['server'], dnsNames: ['localhost', '*.mcp.internal'] }
  const pastFiles = await writeIdentity(join(world.folder, 'past'), past)
  await world.configure({
    store: { url: store.through(world.storeUrl), poolSize: 10 },
    publicUrl: 'http://broker.example.com',
    resources: {
      'internal-api': { ...authority, access: { client: {}, server } },
      'past-api': { ...authority, ca: pastFiles, access: { client: {} } },
      'unlisted-api': { ...authority, revocation: 'none', access: { client: {} } },
      'shop-db': { adapter: 'postgres', admin: world.shopUrl, access: { read: { memberOf: world.reader } } },
    },
  })
}

export async function createCertificateScene(): Promise<CertificateScene> {
  const world = await createWorld()
  const store = await startProxy(world.storeUrl)
  await configure(world, store)
  const broker = await startBrokerProcess(world.configFile)
  const second = await startBrokerProcess(world.configFile)
  const agent = apiOf(broker.url, await world.token('mcp-orders'))
  const admin = apiOf(broker.url, await world.token('admin-alert'))

  async function open(grants: unknown[] = [API], headers: Record<string, string> = {}): Promise<Opened> {
    const answer = await agent('POST', '/v1/tasks', { purpose: 'call the API', grants }, headers)
    expect(answer.status, JSON.stringify(answer.body)).toBe(201)
    const { grant, credential } = answer.body.grants[0] ?? {}
    return { id: answer.body.task.id, answer, grant, credential }
  }

  const own = await open([{ ...API, access: 'server', params: { dnsNames: ['localhost'] } }])
  const roots = String(own.credential['ca'])
  const server = await startMutualTls(identityOf(own.credential), roots)

  return {
    world,
    store,
    broker,
    second,
    agent,
    admin,
    open,

    async isLetIn(credential, url = broker.url) {
      const list = await fetch(new URL('/v1/crl.pem', url))
      expect(list.status).toBe(200)
      server.trust(roots, await list.text())
      return greet(server.port, identityOf(credential), roots).then(
        () => true,
        () => false,
      )
    },

    async trailOf(taskId) {
      const { body } = await admin('GET', `/v1/tasks/${taskId}/trail`)
      return body.items.map(({ type }: { type: string }) => type)
    },

    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await second[Symbol.asyncDispose]()
      await broker[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
}
