import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectTcp, createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import { callFor, createPostgresFixture, type PostgresFixture } from '../contract/postgres-fixture.ts'
import { expectWithdrawn } from './postgres-adapter-steps.ts'

let fixture: PostgresFixture
let folder: string
let front: Server

/** Answers `SSLRequest` (PostgreSQL protocol, 55.2.10) and passes on to the server what comes out of TLS. */
function startTlsFront(cert: Buffer, key: Buffer, target: URL): Server {
  return createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      socket.write('S')
      const secure = new TLSSocket(socket, { isServer: true, cert, key })
      const upstream = connectTcp(Number(target.port), target.hostname)
      for (const stream of [secure, upstream]) stream.on('error', () => undefined)
      secure.pipe(upstream).pipe(secure)
    })
  }).listen(0, '127.0.0.1')
}

beforeAll(async () => {
  fixture = await createPostgresFixture('superuser')
  folder = mkdtempSync(join(tmpdir(), 'taskgrant-tls-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const what = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=front'
  const files = ['-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert]
  execFileSync('openssl', [...what.split(' '), ...files], { stdio: 'ignore' })
  front = startTlsFront(readFileSync(cert), readFileSync(key), new URL(fixture.adminUrl))
  await once(front, 'listening')
})

afterAll(async () => {
  await fixture[Symbol.asyncDispose]()
  front.close()
  rmSync(folder, { recursive: true })
})

function adapterAt(host: string, tls: Record<string, string>): Adapter {
  const url = new URL(fixture.adminUrl)
  url.host = `${host}:${(front.address() as AddressInfo).port}`
  return fixture.adapter({ admin: url.href, tls })
}

async function check(adapter: Adapter): Promise<string> {
  return adapter.check(callFor(5_000)).then(
    () => 'ok',
    (error: unknown) => String(error),
  )
}

describe('TLS', () => {
  it('is used, and told to agents with its CA', async () => {
    const caFile = join(folder, 'cert.pem')
    const adapter = adapterAt('localhost', { caFile })
    expect(await check(adapter)).toBe('ok')
    const user = await fixture.issue(adapter)
    expect(new URL(user.uri).searchParams.get('sslmode')).toBe('verify-full')
    const { host, port, database, username, password, ca } = user.credential
    expect(ca).toBe(readFileSync(caFile, 'utf8'))
    const client = new pg.Client({
      host: String(host),
      port: Number(port),
      database: String(database),
      user: String(username),
      password: String(password),
      ssl: { ca: String(ca) },
    })
    await client.connect()
    await client.end()
    await expectWithdrawn(fixture, adapter, user)
  })

  it('refuses a certificate that nobody vouches for', async () => {
    expect(await check(adapterAt('localhost', { mode: 'verify' }))).toMatch(
      /certificate is not accepted \(\w+\)/,
    )
  })

  it('refuses a certificate of another host, also if that is an address', async () => {
    const message = await check(adapterAt('127.0.0.1', { caFile: join(folder, 'cert.pem') }))
    expect(message).toMatch(/certificate is not accepted \(ERR_TLS_CERT_ALTNAME_INVALID\)/)
  })

  it('is not given up if the server offers none', async () => {
    const adapter = fixture.adapter({ tls: { mode: 'verify' } })
    expect(await check(adapter)).toMatch(/it offers no TLS; to go without, set tls.mode to plaintext/)
  })
})
