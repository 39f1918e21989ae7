import { join } from 'node:path'
import { expect } from 'vitest'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, type BrokerProcess } from '../support/broker-process.ts'
import { makeIdentity, writeIdentity, type TestIdentity } from '../support/certificates.ts'
import { createWorld, type World } from '../support/world.ts'

export interface Certified {
  readonly taskId: string
  readonly serial: string
  readonly certificate: string
  readonly chain: string
  readonly ca: string
  readonly privateKey: string
  readonly spiffeId: string
}

/** A broker whose authority stands below a root that is not ours. */
export interface CertificateWorld extends AsyncDisposable {
  readonly world: World
  readonly broker: BrokerProcess
  readonly agent: Api
  readonly root: TestIdentity
  /** Undefined if the root itself signs. */
  readonly intermediate: TestIdentity | undefined
  certify(access: string, params?: object): Promise<Certified>
  revoke(taskId: string): Promise<void>
  fetchText(path: string): Promise<string>
}

export async function createCertificateWorld(options: {
  readonly intermediate: boolean
  readonly ocspDelegate?: boolean
}): Promise<CertificateWorld> {
  const world = await createWorld()
  const root = makeIdentity({ name: 'root' })
  const intermediate = options.intermediate ? makeIdentity({ name: 'intermediate', issuer: root }) : undefined
  const files = await writeIdentity(
    join(world.folder, 'authority'),
    intermediate ?? root,
    intermediate === undefined ? {} : { chain: [root] },
  )
  const delegate = makeIdentity({
    name: 'answers',
    issuer: intermediate ?? root,
    isCa: false,
    keyUsages: ['digitalSignature'],
    purposes: ['1.3.6.1.5.5.7.3.9'],
  })
  const ocsp =
    options.ocspDelegate === true ? await writeIdentity(join(world.folder, 'ocsp'), delegate) : undefined
  await world.configure({
    publicUrl: 'http://127.0.0.1:1',
    resources: {
      'internal-api': {
        adapter: 'x509',
        trustDomain: 'example.com',
        ca: { ...files, ...(ocsp === undefined ? {} : { ocsp }) },
        access: { client: {}, server: { usages: ['server'], dnsNames: ['localhost'] } },
      },
    },
  })
  const broker = await startBrokerProcess(world.configFile)
  const agent = apiOf(broker.url, await world.token('mcp-orders'))
  const admin = apiOf(broker.url, await world.token('admin-alert'))
  return {
    world,
    broker,
    agent,
    root,
    intermediate,
    async certify(access, params = {}) {
      const grants = [{ resource: 'internal-api', access, params }]
      const answer = await agent('POST', '/v1/tasks', { purpose: 'test', grants })
      expect(answer.status, JSON.stringify(answer.body)).toBe(201)
      return { ...answer.body.grants[0].credential, taskId: answer.body.task.id }
    },
    async revoke(taskId) {
      const answer = await admin('POST', `/v1/tasks/${taskId}/revoke`, { reason: 'test' })
      expect(answer.body.state).toBe('ended')
    },
    async fetchText(path) {
      const response = await fetch(new URL(path, broker.url))
      expect(response.status).toBe(200)
      return response.text()
    },
    async [Symbol.asyncDispose]() {
      await broker[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
}
