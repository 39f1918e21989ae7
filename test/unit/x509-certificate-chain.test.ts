import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createSecureContext, createServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { caOf } from '../../adapters/x509/ca.ts'
import { signCrl } from '../../adapters/x509/crl.ts'
import { fromDer, toDer } from '../../adapters/x509/der.ts'
import { readSequence } from '../../adapters/x509/read-der.ts'
import { signerOf } from '../../adapters/x509/signature.ts'
import type { Adapter, Credential } from '../../broker/adapter.ts'
import { makeIdentity, type TestIdentity } from '../support/certificates.ts'
import { pemOf } from '../support/crl.ts'
import { ecKeys, rsaKeys } from '../support/csr.ts'
import { greet, identityOf, startMutualTls, type MutualTlsServer } from '../support/mutual-tls.ts'
import { mint, x509Fixture, type X509Fixture } from './x509-certificate-steps.ts'

const ACCESSES = { server: { usages: ['server'], dnsNames: ['localhost'] } }

const root = makeIdentity({ name: 'root' })
const policy = makeIdentity({ name: 'policy', issuer: root })
const issuing = makeIdentity({ name: 'issuing', issuer: policy })

let fixture: X509Fixture
let adapter: Adapter
let server: MutualTlsServer

const rootsOf = (credential: Credential): string => String(credential['ca'])
const listOf = (identity: TestIdentity, serials: string[] = []): string => {
  const ca = caOf({ chain: [identity.certificate], key: identity.privateKey, responder: undefined })
  const entries = serials.map((serial) => ({ serial, withdrawnAt: new Date(), expiresAt: new Date() }))
  const list = { number: 1, takenAt: new Date(), entries }
  return pemOf('X509 CRL', signCrl(ca, signerOf(identity.privateKey), list, 600, new Map()).der)
}

/** A server whose certificate comes from the same authority. */
async function serve(by: Adapter): Promise<MutualTlsServer> {
  const { credential } = await mint(by, { access: 'server', params: { dnsNames: ['localhost'] } })
  return startMutualTls(identityOf(credential), rootsOf(credential))
}

beforeAll(async () => {
  fixture = await x509Fixture()
  adapter = await fixture.adapter({ ca: issuing, chain: [policy, root], accesses: ACCESSES })
  server = await serve(adapter)
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await fixture[Symbol.asyncDispose]()
})

describe('below a root and intermediates', () => {
  test('the chain goes from the authority upwards without the root, which is `ca`', async () => {
    const { certificate, credential } = await mint(adapter)
    expect(credential['chain']).toBe(`${issuing.certificate.toString()}${policy.certificate.toString()}`)
    expect(credential['ca']).toBe(root.certificate.toString())
    expect(certificate.checkIssued(issuing.certificate)).toBe(true)
    expect(certificate.verify(issuing.certificate.publicKey)).toBe(true)
  })

  test('the chain is empty when the root itself signs', async () => {
    const { credential } = await mint(await fixture.adapter({ ca: root }))
    expect(credential).toMatchObject({ chain: '', ca: root.certificate.toString() })
  })

  test('whoever verifies is given the intermediates and the root', () => {
    const [authority] = adapter.verification?.authorities ?? []
    expect(authority?.certificates).toBe(
      [issuing, policy, root].map(({ certificate }) => certificate.toString()).join(''),
    )
    expect(authority?.certificateDer).toEqual(issuing.certificate.raw)
  })

  test('a client gets in at a server that knows the root alone', async () => {
    const { credential } = await mint(adapter)
    server.trust(rootsOf(credential))
    expect(await greet(server.port, identityOf(credential), rootsOf(credential))).toBe(
      `URI:${String(credential['spiffeId'])}`,
    )
  })

  test('a client that leaves the chain out does not', async () => {
    const { credential } = await mint(adapter)
    server.trust(rootsOf(credential))
    const bare = { ...identityOf(credential), cert: String(credential['certificate']) }
    await expect(greet(server.port, bare, rootsOf(credential))).rejects.toThrow()
  })

  test('a client below another root of the same name does not get in', async () => {
    const other = await fixture.adapter({ ca: makeIdentity({ name: 'root' }) })
    const { credential } = await mint(other)
    server.trust(root.certificate.toString())
    await expect(greet(server.port, identityOf(credential), root.certificate.toString())).rejects.toThrow()
  })

  test('a server that looks at lists needs those of the authorities above as well', async () => {
    const { credential } = await mint(adapter)
    // Node takes one list from each text.
    const outcomes = [[issuing], [issuing, policy], [issuing, policy, root]].map((above) =>
      isAccepted(
        credential,
        above.map((one) => listOf(one)),
      ),
    )
    expect(await Promise.all(outcomes)).toEqual([false, false, true])
  })

  test('a certificate for servers does not open anything as a client, nor the reverse', async () => {
    const { credential } = await mint(adapter, { access: 'server' })
    const roots = rootsOf(credential)
    server.trust(roots)
    await expect(greet(server.port, identityOf(credential), roots)).rejects.toThrow()
    const client = await mint(adapter)
    await using impostor = await startMutualTls(identityOf(client.credential), roots)
    await expect(greet(impostor.port, identityOf(client.credential), roots)).rejects.toThrow()
  })
})

describe('a PKCS #12 file', () => {
  const pfxOf = (credential: Credential): { pfx: Buffer; passphrase: string } => ({
    pfx: Buffer.from(String(credential['pkcs12']), 'base64'),
    passphrase: String(credential['pkcs12Password']),
  })

  test.each(['client', 'rsa'])('of access %s has key and chain, and gets in', async (access) => {
    const accesses = { ...ACCESSES, rsa: { keyType: 'rsa-2048' } }
    const own = await fixture.adapter({ ca: issuing, chain: [policy, root], accesses })
    const { credential } = await mint(own, { access, params: { format: 'pkcs12' } })
    server.trust(rootsOf(credential))
    expect(await greet(server.port, pfxOf(credential), rootsOf(credential))).toBe(
      `URI:${String(credential['spiffeId'])}`,
    )
    expect(Object.keys(credential)).not.toContain('privateKey')
  })

  test('is not opened by any other password', async () => {
    const { pfx, passphrase } = pfxOf((await mint(adapter, { params: { format: 'pkcs12' } })).credential)
    expect(passphrase).toMatch(/^[A-Za-z0-9_-]{32}$/)
    expect(() => createSecureContext({ pfx, passphrase })).not.toThrow()
    for (const wrong of ['', passphrase.slice(1), `${passphrase} `, passphrase.toLowerCase()])
      expect(() => createSecureContext({ pfx, passphrase: wrong })).toThrow()
  })

  test('is not opened if one byte of its content is another', async () => {
    const { pfx, passphrase } = pfxOf((await mint(adapter, { params: { format: 'pkcs12' } })).credential)
    const [, content] = readSequence(fromDer(pfx)).map(toDer)
    const start = pfx.indexOf(content ?? '')
    const opened = Array.from(content ?? [], (_, index) => start + index).filter((index) => {
      const changed = Buffer.from(pfx)
      changed[index] = (changed[index] ?? 0) ^ 0x55
      return isOpened({ pfx: changed, passphrase })
    })
    expect(opened).toEqual([])
  })

  test('says which certificate the key belongs to', async () => {
    const { credential } = await mint(adapter, { params: { format: 'pkcs12' } })
    const plain = new X509Certificate(String(credential['certificate']))
    const localKeyId = createHash('sha1').update(plain.raw).digest().toString('latin1')
    expect(pfxOf(credential).pfx.toString('latin1').split(localKeyId)).toHaveLength(3)
  })

  test('has a password of its own', async () => {
    const [one, other] = await Promise.all([1, 2].map(() => mint(adapter, { params: { format: 'pkcs12' } })))
    expect(one?.credential['pkcs12Password']).not.toBe(other?.credential['pkcs12Password'])
  })

  test('is refused beside a request, which has the key elsewhere', () => {
    const parsed = adapter.params('client').safeParse({ format: 'pkcs12', csr: 'x' })
    expect(parsed.success).toBe(false)
  })
})

/** By a server that has these lists. */
async function isAccepted(credential: Credential, crl: string[]): Promise<boolean> {
  const options = { ...identityOf(credential), ca: rootsOf(credential), crl, requestCert: true }
  const tls = createServer(options, (socket) => socket.end('spiffe').on('error', () => undefined))
  tls.on('tlsClientError', () => undefined).listen(0, '127.0.0.1')
  await once(tls, 'listening')
  const socket = connect({
    ...identityOf(credential),
    port: (tls.address() as AddressInfo).port,
    rejectUnauthorized: false,
  })
  let text = ''
  socket.on('error', () => undefined).on('data', (data) => (text += data.toString()))
  await once(socket, 'close')
  tls.close()
  return text !== ''
}

function isOpened(options: { pfx: Buffer; passphrase: string }): boolean {
  try {
    createSecureContext(options)
    return true
  } catch {
    return false
  }
}

describe.each([
  ['P-256', ecKeys(), '1.2.840.10045.4.3.2'],
  ['P-384', ecKeys('secp384r1'), '1.2.840.10045.4.3.3'],
  ['RSA 2048', rsaKeys(), '1.2.840.113549.1.1.11'],
  ['RSA 3072', rsaKeys(3072), '1.2.840.113549.1.1.11'],
  ['Ed25519', generateKeyPairSync('ed25519'), '1.3.101.112'],
])('an authority of %s', (name, keys) => {
  const ca = makeIdentity({ name, keys })

  test('signs certificates and lists that TLS accepts, and a listed certificate no longer', async () => {
    const own = await fixture.adapter({ ca, accesses: ACCESSES })
    const { certificate, credential } = await mint(own)
    expect(certificate.verify(new X509Certificate(rootsOf(credential)).publicKey)).toBe(true)
    await using tls = await serve(own)
    tls.trust(rootsOf(credential), listOf(ca, ['01', '00ff']))
    expect(await greet(tls.port, identityOf(credential), rootsOf(credential))).toContain('spiffe://')
    tls.trust(rootsOf(credential), listOf(ca, [String(credential['serial'])]))
    await expect(greet(tls.port, identityOf(credential), rootsOf(credential))).rejects.toThrow()
  })
})

test.each([
  ['RSA 1024', rsaKeys(1024)],
  ['P-521', ecKeys('secp521r1')],
  ['secp256k1', ecKeys('secp256k1')],
])('a key of %s signs nothing', (_, { privateKey }) => {
  expect(() => signerOf(privateKey)).toThrow(/^expected a key of EC P-256 or P-384/)
})
