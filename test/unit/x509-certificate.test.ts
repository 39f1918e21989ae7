import { createPrivateKey, createPublicKey, generateKeyPairSync, type X509Certificate } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { distinguishedName } from '../../adapters/x509/certificate.ts'
import { oid, sequence, set, tagged } from '../../adapters/x509/der.ts'
import {
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  subjectAltName,
} from '../../adapters/x509/extensions.ts'
import { OID } from '../../adapters/x509/oids.ts'
import { KEY_TYPES } from '../../adapters/x509/settings.ts'
import type { Adapter } from '../../broker/adapter.ts'
import { makeIdentity } from '../support/certificates.ts'
import { csrPem, ecKeys, makeCsr, RSA_SHA256, rsaKeys } from '../support/csr.ts'
import {
  GRANT_ID,
  inSeconds,
  mint,
  TASK_ID,
  timeTypesOf,
  x509Fixture,
  type X509Fixture,
} from './x509-certificate-steps.ts'

let fixture: X509Fixture
let adapter: Adapter

beforeAll(async () => {
  fixture = await x509Fixture()
  const keyTypes = Object.fromEntries(KEY_TYPES.map((keyType) => [keyType, { keyType }]))
  adapter = await fixture.adapter({
    accesses: {
      ...keyTypes,
      server: { usages: ['server'], dnsNames: ['localhost'] },
      both: { usages: ['server', 'client'] },
    },
  })
})

afterAll(() => fixture[Symbol.asyncDispose]())
afterEach(() => {
  vi.useRealTimers()
})

const CLIENT = '1.3.6.1.5.5.7.3.2'
const SERVER = '1.3.6.1.5.5.7.3.1'

/** The value of an extension in hexadecimal, and whether it is critical. */
async function extensionOf(id: string, access = 'client', params = {}): Promise<[string, boolean]> {
  const found = (await mint(adapter, { access, params })).parts.extensions.get(id)
  return [found?.value.toString('hex') ?? 'none', found?.critical ?? false]
}

describe('a certificate', () => {
  test('names the grant, and the task in its SPIFFE id', async () => {
    const { certificate, credential, issued } = await mint(adapter)
    const spiffeId = `spiffe://example.com/task/${TASK_ID}/internal-api/client`
    expect(certificate.subject).toBe(`O=taskgrant\nCN=${GRANT_ID}`)
    expect(certificate.subjectAltName).toBe(`URI:${spiffeId}`)
    expect(credential).toMatchObject({ kind: 'x509', spiffeId })
    expect(issued.handle).toMatchObject({ subject: GRANT_ID, spiffeId, serial: credential['serial'] })
  })

  test('is for an end, not for an authority, and says so critically', async () => {
    expect((await mint(adapter)).certificate.ca).toBe(false)
    expect(await extensionOf(OID.basicConstraints)).toEqual(['3000', true])
  })

  test.each([
    ['client', [CLIENT]],
    ['server', [SERVER]],
    ['both', [SERVER, CLIENT]],
  ])('of access %s may be used for that alone', async (access, purposes) => {
    expect((await mint(adapter, { access })).certificate.keyUsage).toEqual(purposes)
  })

  test('with an EC or Ed25519 key is for signing alone; with an RSA key for encrypting keys as well', async () => {
    expect(await extensionOf(OID.keyUsage)).toEqual(['03020780', true])
    expect(await extensionOf(OID.keyUsage, 'ed25519')).toEqual(['03020780', true])
    expect(await extensionOf(OID.keyUsage, 'rsa-2048')).toEqual(['030205a0', true])
    const csr = csrPem(makeCsr({ keys: rsaKeys(), algorithm: RSA_SHA256 }))
    expect(await extensionOf(OID.keyUsage, 'client', { csr })).toEqual(['030205a0', true])
  })

  test.each(KEY_TYPES)(
    'of an access with key type %s has such a key, and the private one fits',
    async (access) => {
      const { certificate, credential } = await mint(adapter, { access })
      const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey
      const size = asymmetricKeyDetails?.modulusLength ?? asymmetricKeyDetails?.namedCurve
      const name = { prime256v1: 'p256', secp384r1: 'p384' }[String(size)] ?? size
      expect([asymmetricKeyType, name].filter(Boolean).join('-')).toBe(access)
      expect(certificate.checkPrivateKey(createPrivateKey(String(credential['privateKey'])))).toBe(true)
    },
  )
})

describe('where to ask about a certificate', () => {
  const publicUrl = 'https://broker.example.com/grants/'
  const idOf = (one: Adapter): string => one.verification?.authorities[0]?.id ?? ''

  test('is in it when the broker knows where it is reached', async () => {
    const told = await fixture.adapter({ publicUrl })
    const { certificate, parts } = await mint(told)
    const at = `${publicUrl}v1`
    expect(certificate.infoAccess?.trim()).toBe(
      `OCSP - URI:${at}/ocsp\nCA Issuers - URI:${at}/ca.der?issuer=${idOf(told)}`,
    )
    const points = parts.extensions.get(OID.crlDistributionPoints)?.value.toString('latin1')
    expect(points?.slice(10)).toBe(`${at}/crl.der?issuer=${idOf(told)}`)
  })

  test.each([
    ['the broker does not know it', {}],
    ['nothing of the resource is ever listed', { publicUrl, settings: { revocation: 'none' } }],
  ])('is not in it when %s', async (_, wish) => {
    const { certificate, parts } = await mint(await fixture.adapter(wish))
    expect(certificate.infoAccess).toBeUndefined()
    expect([...parts.extensions.keys()]).not.toContain(OID.crlDistributionPoints)
  })
})

describe('the life of a certificate', () => {
  const at = (text: string): Date => new Date(text)
  const freeze = (now: string): unknown => vi.useFakeTimers({ toFake: ['Date'], now: at(now) })
  const century = makeIdentity({
    name: 'century',
    notBefore: at('2020-01-01T00:00:00Z'),
    notAfter: at('2120-01-01T00:00:00Z'),
  })
  const life = ({ validFrom, validTo }: X509Certificate): string[] =>
    [validFrom, validTo].map((text) => new Date(text).toISOString())

  test('starts 10 s before it is made, and ends with its grant, in whole seconds that are never later', async () => {
    freeze('2026-07-01T12:00:00.999Z')
    const long = await fixture.adapter({ ca: century })
    const { certificate, credential, issued } = await mint(long, {
      expiresAt: at('2026-07-01T12:10:00.999Z'),
    })
    expect(life(certificate)).toEqual(['2026-07-01T11:59:50.000Z', '2026-07-01T12:10:00.000Z'])
    expect(credential['notAfter']).toBe('2026-07-01T12:10:00.000Z')
    expect(issued.expiresAt).toEqual(at('2026-07-01T12:10:00Z'))
    expect(issued.handle).toMatchObject({ expiresAt: '2026-07-01T12:10:00.000Z' })
  })

  test.each([
    ['2049-12-31T23:59:59Z', [23, 23]],
    ['2050-01-01T00:00:00Z', [23, 24]],
    ['2119-12-31T23:59:59Z', [23, 24]],
  ])('until %s is written as RFC 5280 wants it', async (end, types) => {
    const { certificate } = await mint(await fixture.adapter({ ca: century }), { expiresAt: at(end) })
    expect(timeTypesOf(certificate)).toEqual(types)
    expect(life(certificate)[1]).toBe(at(end).toISOString())
  })

  test('after 2050 is written as RFC 5280 wants it at both ends', async () => {
    freeze('2050-01-01T00:00:10Z')
    const { certificate } = await mint(await fixture.adapter({ ca: century }))
    expect(timeTypesOf(certificate)).toEqual([24, 24])
    expect(life(certificate)[0]).toBe('2050-01-01T00:00:00.000Z')
  })

  test('is within that of its authority, and the grant is told', async () => {
    const ca = makeIdentity({ name: 'short', notBefore: inSeconds(-2), notAfter: inSeconds(60) })
    const { certificate, issued } = await mint(await fixture.adapter({ ca }))
    expect(life(certificate)).toEqual(life(ca.certificate))
    expect(issued.expiresAt).toEqual(new Date(ca.certificate.validTo))
  })

  test('is within that of every authority above', async () => {
    const root = makeIdentity({ name: 'root', notBefore: inSeconds(-2), notAfter: inSeconds(60) })
    const ca = makeIdentity({ name: 'issuing', issuer: root })
    const { certificate } = await mint(await fixture.adapter({ ca, chain: [root] }))
    expect(life(certificate)).toEqual(life(root.certificate))
  })

  test.each<[string, { notBefore?: Date; notAfter?: Date }, RegExp]>([
    ['has expired', { notAfter: inSeconds(-60) }, /expired on/],
    ['is not valid yet', { notBefore: inSeconds(3600), notAfter: inSeconds(7200) }, /is not valid before/],
  ])(
    'does not begin when the authority, or one above it, %s, and the check says so',
    async (_, times, message) => {
      const bad = makeIdentity({ name: 'bad', ...times })
      const below = makeIdentity({ name: 'below', issuer: bad })
      for (const wish of [{ ca: bad }, { ca: below, chain: [bad] }]) {
        const unusable = await fixture.adapter({ ...wish, settings: { revocation: 'none' } })
        await expect(mint(unusable)).rejects.toThrow(message)
        await expect(
          unusable.check({ signal: AbortSignal.timeout(1_000), timeoutMs: 1_000 }),
        ).rejects.toThrow(message)
      }
    },
  )

  test('does not begin when its time is over already', async () => {
    await expect(mint(adapter, { expiresAt: inSeconds(-1) })).rejects.toThrow('its time is over already')
    freeze('2026-07-01T12:00:00.500Z')
    const long = await fixture.adapter({ ca: century })
    const withinTheSecond = { expiresAt: at('2026-07-01T12:00:00.900Z') }
    await expect(mint(long, withinTheSecond)).rejects.toThrow('its time is over already')
  })
})

describe('a certificate for a key that the caller brought', () => {
  test('takes the key of the request, and nothing else', async () => {
    const keys = ecKeys('secp384r1')
    const wanted = [
      basicConstraints(true),
      keyUsage(['keyCertSign', 'cRLSign']),
      extendedKeyUsage([SERVER, '2.5.29.37.0', '1.3.6.1.5.5.7.3.9']),
      subjectAltName({ uri: 'spiffe://example.com/admin', dns: ['admin.example.com', '*'] }),
    ]
    const extensionRequest = sequence(oid('1.2.840.113549.1.9.14'), set(sequence(...wanted)))
    const csr = csrPem(
      makeCsr({
        keys,
        subject: distinguishedName({ organization: 'admins', commonName: 'root' }),
        attributes: [tagged(0, extensionRequest)],
      }),
    )
    const { certificate, parts, credential } = await mint(adapter, { params: { csr } })
    expect(certificate.publicKey.equals(keys.publicKey)).toBe(true)
    expect(certificate.ca).toBe(false)
    expect(certificate.subject).toBe(`O=taskgrant\nCN=${GRANT_ID}`)
    expect(certificate.subjectAltName).toBe(`URI:${String(credential['spiffeId'])}`)
    expect(certificate.keyUsage).toEqual([CLIENT])
    expect(parts.extensions.get(OID.keyUsage)?.value.toString('hex')).toBe('03020780')
    expect(certificate.raw.includes('admin')).toBe(false)
    expect(Object.keys(credential)).not.toContain('privateKey')
  })

  test('keeps nothing of the request among the parameters but the key', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const csr = csrPem(makeCsr({ keys: { publicKey, privateKey } }))
    const params = adapter.params('client').parse({ csr })
    expect(Object.keys(params).toSorted()).toEqual(['dnsNames', 'format', 'publicKey'])
    const key = Buffer.from(String(params['publicKey']), 'base64')
    expect(createPublicKey({ key, format: 'der', type: 'spki' }).equals(publicKey)).toBe(true)
  })
})
