import pg from 'pg'
import { openSession } from '../support/database-user.ts'
import { startProxy } from '../support/proxy.ts'
import { describeAdapterContract, type AdapterHarness, type AdapterTraits } from './adapter-contract.ts'
import { createPostgresFixture, newStoreId, type AdminKind } from './postgres-fixture.ts'

/** As odd as Postgres takes them: 63 bytes are its limit. */
const ODD_ROLES = [`o'brien"; drop role x; --`, 'ünïcödé 🦀 \\ $1 $$ %I', 'Mixed Case']

async function createHarness(kind: AdminKind): Promise<AdapterHarness> {
  const fixture = await createPostgresFixture(kind)
  const odd = ODD_ROLES.map((name) => `${name} ${fixture.storeId}`)
  const quoted = odd.map(pg.escapeIdentifier)
  for (const role of quoted) await fixture.root.query(`create role ${role} in role ${fixture.writer}`)
  if (kind === 'least privilege') {
    await fixture.root.query(`grant ${quoted.join(', ')} to ${fixture.admin} with admin option`)
  }
  const proxy = await startProxy(fixture.adminUrl)
  const { hostname, port } = new URL(fixture.adminUrl)
  const admin = proxy.through(fixture.adminUrl)
  const connect = { host: hostname, port: Number(port) }
  const oddAccesses = Object.fromEntries(odd.map((name) => [name, { memberOf: [name, fixture.reader] }]))
  return {
    adapter: fixture.adapter({ admin, connect }, oddAccesses),
    storeId: fixture.storeId,
    otherStoreId: newStoreId(),
    access: 'write',
    hostileAccesses: odd,
    async use(credential) {
      const client = new pg.Client({ connectionString: String(credential['uri']) })
      client.on('error', () => undefined)
      await client.connect()
      try {
        await client.query('select * from orders')
        await client.query(`insert into orders values (4711, 'lamp')`)
        await client.query('delete from orders where id = 4711')
      } finally {
        await client.end()
      }
    },
    holdSession: (credential) => openSession(String(credential['uri'])),
    async breakBackend(how) {
      proxy.mode = how
      if (how === 'refuse') proxy.cut()
    },
    async restoreBackend() {
      proxy.mode = 'pass'
    },
    incapable: {
      adapter: fixture.adapter({}, { read: { memberOf: 'no_such_role' } }),
      message: /create role "no_such_role" nologin/,
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await fixture.root.query(`drop role ${quoted.join(', ')}`)
      await fixture[Symbol.asyncDispose]()
    },
  }
}

const TRAITS: AdapterTraits = {
  sideEffects: true,
  renews: true,
  lists: true,
  nativeExpiry: 'exact',
  breakable: true,
  mayBeIncapable: true,
  secrets: ['password', 'uri'],
}

describeAdapterContract('postgres, as superuser', TRAITS, () => createHarness('superuser'))
describeAdapterContract('postgres, with least privilege', TRAITS, () => createHarness('least privilege'))
