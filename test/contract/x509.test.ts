import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { x509Adapter } from '../../adapters/x509/index.ts'
import type { Adapter } from '../../broker/adapter.ts'
import { makeIdentity, writeIdentity } from '../support/certificates.ts'
import { freshLedger } from '../support/ledger.ts'
import { startMutualTlsFor } from '../support/mutual-tls.ts'
import { describeAdapterContract, type AdapterHarness, type AdapterTraits } from './adapter-contract.ts'

async function createHarness(): Promise<AdapterHarness> {
  const folder = await mkdtemp(join(tmpdir(), 'taskgrant-x509-'))
  const store = await freshLedger()
  const create = (ca: object): Adapter =>
    x509Adapter.create({
      resource: 'internal-api',
      settings: x509Adapter.settings.parse({ trustDomain: 'example.com', ca }),
      accesses: new Map(Object.entries(ACCESSES).map(([name, one]) => [name, x509Adapter.access.parse(one)])),
      publicUrl: new URL('https://broker.example.com/'),
      ledger: store.ledger,
    })
  const past = makeIdentity({ name: 'past', notAfter: new Date(Date.now() - 60_000) })
  const adapter = create({ createdInFolder: join(folder, 'ca') })
  const server = await startMutualTlsFor(adapter)
  return {
    adapter,
    storeId: 'abcd1234',
    otherStoreId: 'wxyz5678',
    access: 'client',
    hostileAccesses: ['p384', 'both'],
    use: (credential) => server.use(credential),
    incapable: { adapter: create(await writeIdentity(join(folder, 'past'), past)), message: /expired/ },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const ACCESSES = {
  client: {},
  server: { usages: ['server'], dnsNames: ['localhost'] },
  p384: { keyType: 'ec-p384' },
  both: { usages: ['client', 'server'] },
}

const TRAITS: AdapterTraits = {
  sideEffects: false,
  renews: false,
  lists: false,
  nativeExpiry: 'exact',
  breakable: false,
  mayBeIncapable: true,
  secrets: ['privateKey'],
}

describeAdapterContract('x509', TRAITS, createHarness)
