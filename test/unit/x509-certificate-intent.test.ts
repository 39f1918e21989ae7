import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { caOf, type Ca } from '../../adapters/x509/ca.ts'
import { certificateParts } from '../../adapters/x509/certificate-parts.ts'
import { distinguishedName, signCertificate, signed } from '../../adapters/x509/certificate.ts'
import { fromDer, integerFromHex, sequence, tagged, toDer, type Asn1 } from '../../adapters/x509/der.ts'
import { basicConstraints, extension, extendedKeyUsage, keyUsage } from '../../adapters/x509/extensions.ts'
import { OID } from '../../adapters/x509/oids.ts'
import type { Profile } from '../../adapters/x509/profile.ts'
import { readIntegerHex, readOid, readSequence, readTagged } from '../../adapters/x509/read-der.ts'
import { randomSerial } from '../../adapters/x509/serial.ts'
import { signerOf } from '../../adapters/x509/signature.ts'
import { requireAsIntended } from '../../adapters/x509/verify-certificate.ts'
import { AdapterError } from '../../broker/adapter.ts'
import { makeIdentity, type CertificateWish } from '../support/certificates.ts'
import { rsaKeys } from '../support/csr.ts'

const wish: CertificateWish = { name: 'authority' }
const identity = makeIdentity(wish)
const keys = { publicKey: identity.publicKey, privateKey: identity.privateKey }
const caWith = (changes: Partial<CertificateWish>): Ca => {
  const { certificate } = makeIdentity({ ...wish, keys, ...changes })
  return caOf({ chain: [certificate], key: identity.privateKey, responder: undefined })
}
const ca = caWith({})
const second = (offset: number): Date => new Date(Math.floor(Date.now() / 1000 + offset) * 1000)
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const profile: Profile = {
  serial: '0123456789abcdef',
  commonName: 'grant',
  organization: 'taskgrant',
  notBefore: second(-10),
  notAfter: second(600),
  publicKey,
  spiffeId: 'spiffe://example.com/task/1/api/read',
  dnsNames: ['localhost'],
  usages: ['client'],
  locations: {
    crl: 'https://a.example/crl',
    ocsp: 'https://a.example/ocsp',
    caIssuers: 'https://a.example/ca',
  },
}
const certificate = signCertificate(ca, profile)

const refusalOf = (act: () => unknown): unknown => {
  try {
    act()
    return undefined
  } catch (error) {
    return error instanceof AdapterError ? error.message : error
  }
}
const differs = (what: string): string => `the signed certificate is not as intended: ${what}`

test('a certificate that is as intended is let pass', () => {
  expect(refusalOf(() => requireAsIntended(certificate, profile, ca))).toBeUndefined()
})

describe('a signed certificate is not handed out if it differs from the intent in', () => {
  const locations = {
    crl: 'https://b.example/crl',
    ocsp: 'https://b.example/ocsp',
    caIssuers: 'https://b.example/ca',
  }
  const { locations: own } = profile

  test.each<[string, Partial<Profile>]>([
    ['its serial', { serial: '0123456789abcdee' }],
    ['its subject', { commonName: 'other' }],
    ['its subject', { organization: 'other' }],
    ['its start', { notBefore: second(-11) }],
    ['its end', { notAfter: second(599) }],
    ['its end', { notAfter: second(601) }],
    ['its key', { publicKey: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey }],
    ['its names', { spiffeId: 'spiffe://example.com/task/2/api/read' }],
    ['its names', { dnsNames: [] }],
    ['its names', { dnsNames: ['localhost', 'example.com'] }],
    ['its purposes', { usages: ['server'] }],
    ['its purposes', { usages: ['client', 'server'] }],
    ['its extensions', { locations: undefined }],
    ['where to ask about it', { locations }],
    ['where to ask about it', { locations: own && { ...own, crl: locations.crl } }],
    ['where to ask about it', { locations: own && { ...own, ocsp: locations.ocsp } }],
    ['where to ask about it', { locations: own && { ...own, caIssuers: locations.caIssuers } }],
  ])('%s', (what, change) => {
    expect(refusalOf(() => requireAsIntended(certificate, { ...profile, ...change }, ca))).toBe(differs(what))
  })

  test.each<[string, Ca]>([
    ['its signature', { ...ca, certificate: makeIdentity(wish).certificate }],
    ['its issuer', { ...ca, certificate: caWith({ name: 'other' }).certificate }],
    ['a life within its authority', { ...ca, certificate: caWith({ notAfter: second(599) }).certificate }],
    ['a life within its authority', { ...ca, certificate: caWith({ notBefore: second(-9) }).certificate }],
  ])('%s, by the certificate of the authority', (what, other) => {
    expect(refusalOf(() => requireAsIntended(certificate, profile, other))).toBe(differs(what))
  })

  const replacing = (id: string, by: Asn1 | undefined) => (extensions: Asn1[]) =>
    extensions.flatMap((one) => (readOid(readSequence(one)[0]) === id ? (by ?? []) : one))

  test.each<[string, string, (extensions: Asn1[]) => Asn1[]]>([
    [
      'its being no authority',
      'says that it is one',
      replacing(OID.basicConstraints, basicConstraints(true)),
    ],
    ['its key usages', 'may sign lists', replacing(OID.keyUsage, keyUsage(['digitalSignature', 'cRLSign']))],
    [
      'its key usages',
      'may encrypt keys',
      replacing(OID.keyUsage, keyUsage(['digitalSignature', 'keyEncipherment'])),
    ],
    ['its purposes', 'may be used for all', replacing(OID.extKeyUsage, extendedKeyUsage(['2.5.29.37.0']))],
    ['its extensions', 'lacks one', replacing(OID.subjectKeyIdentifier, undefined)],
    ['its extensions', 'has one more', (all) => [...all, extension('1.2.3.4', sequence())]],
    ['its extensions', 'has another', replacing(OID.subjectKeyIdentifier, extension('1.2.3.4', sequence()))],
    [
      'its critical extensions',
      'is not critical where it should be',
      replacing(OID.basicConstraints, extension(OID.basicConstraints, sequence())),
    ],
    ['its critical extensions', 'is critical where it should not be', makeCritical(OID.extKeyUsage)],
  ])('%s, when it %s', (what, _, change) => {
    const changed = withExtensions(certificate, change)
    expect(refusalOf(() => requireAsIntended(changed, profile, ca))).toBe(differs(what))
  })
})

/** The same certificate with other extensions, signed by the authority. */
function withExtensions(original: X509Certificate, change: (extensions: Asn1[]) => Asn1[]): X509Certificate {
  const [tbs] = readSequence(fromDer(original.raw))
  const parts = readSequence(tbs)
  const [extensions] = readTagged(parts.at(-1), 3)
  const changed = sequence(...parts.slice(0, -1), tagged(3, sequence(...change(readSequence(extensions)))))
  return new X509Certificate(signed(changed, signerOf(identity.privateKey)))
}

function makeCritical(id: string): (extensions: Asn1[]) => Asn1[] {
  return (extensions) =>
    extensions.map((one) => {
      const [oid, value] = readSequence(one)
      return readOid(oid) === id && value ? extension(id, fromDer(octetsOf(value)), true) : one
    })
}

function octetsOf(value: Asn1): Buffer {
  return Buffer.from(String(value.value), 'latin1')
}

describe('signing fails, and hands out nothing, when', () => {
  const stranger = makeIdentity(wish)

  test.each<[string, Ca, Partial<Profile>, string]>([
    [
      'the key is not that of the authority',
      { ...ca, signer: signerOf(stranger.privateKey) },
      {},
      'its signature',
    ],
    [
      'the name is not that of the authority',
      { ...ca, name: distinguishedName({ organization: 'test', commonName: 'other' }) },
      {},
      'its issuer',
    ],
    [
      'the key identifier is not that of the authority',
      { ...ca, keyIdentifier: Buffer.alloc(20) },
      {},
      'its issuer',
    ],
    ['it would outlive the authority', ca, { notAfter: second(200_000) }, 'a life within its authority'],
    [
      'it would begin before the authority',
      ca,
      { notBefore: second(-200_000) },
      'a life within its authority',
    ],
    ['it would end before it begins', ca, { notBefore: second(601) }, 'a life within its authority'],
    ['a name has a comma', ca, { dnsNames: ['a,DNS:b'] }, 'its names'],
    ['a name is not ASCII', ca, { dnsNames: ['bücher.example'] }, 'its names'],
    ['the serial has a leading zero', ca, { serial: '000123' }, 'its serial'],
    ['the serial has upper case', ca, { serial: 'ABCDEF' }, 'its serial'],
  ])('%s', (_, by, change, what) => {
    expect(refusalOf(() => signCertificate(by, { ...profile, ...change }))).toContain(what)
  })

  test('the authority has no key', () => {
    expect(refusalOf(() => signCertificate({ ...ca, signer: undefined }, profile))).toBe(
      'this authority has no key here',
    )
  })

  test('an RSA key must be fit for encrypting keys too', () => {
    const rsa = signCertificate(ca, { ...profile, publicKey: rsaKeys().publicKey })
    const changed = withExtensions(rsa, (all) =>
      all.map((one) =>
        readOid(readSequence(one)[0]) === OID.keyUsage ? keyUsage(['digitalSignature']) : one,
      ),
    )
    const intent = { ...profile, publicKey: rsa.publicKey }
    expect(refusalOf(() => requireAsIntended(rsa, intent, ca))).toBeUndefined()
    expect(refusalOf(() => requireAsIntended(changed, intent, ca))).toBe(differs('its key usages'))
  })
})

describe('a serial', () => {
  test('is random: of 10,000 none is there twice, and all are positive, short, and shortest in DER', () => {
    const serials = Array.from({ length: 10_000 }, randomSerial)
    expect(new Set(serials).size).toBe(10_000)
    const wrong = serials.filter((serial) => {
      const der = toDer(integerFromHex(serial))
      const isMinimal = der[2] !== 0 || (der[3] ?? 0) >= 0x80
      return (
        !/^(?!00)([0-9a-f]{2}){1,20}$/.test(serial) || der.length > 22 || (der[2] ?? 0) >= 0x80 || !isMinimal
      )
    })
    expect(wrong).toEqual([])
  })

  test.each([
    '01',
    '7f',
    '80',
    'ff',
    '0100',
    '7fff',
    '8000',
    'ffff',
    '0a0b',
    `7f${'ff'.repeat(19)}`,
    'ff'.repeat(19),
  ])('%s is written, read by OpenSSL, and read by us as the same', (serial) => {
    const signedOne = signCertificate(ca, { ...profile, serial })
    expect(signedOne.serialNumber.toLowerCase()).toBe(serial)
    expect(certificateParts(signedOne.raw).serial).toBe(serial)
  })

  test.each([
    ['ff', '0202 00ff'],
    ['7f', '0201 7f'],
    ['00ff', '0202 00ff'],
  ])('%s in hexadecimal is %s in DER', (serial, der) => {
    expect(toDer(integerFromHex(serial)).toString('hex')).toBe(der.replace(' ', ''))
  })

  test.each(['0201ff', '02028000', '0200', '020100ff', '02020001'])('%s is not read as one', (der) => {
    expect(() => readIntegerHex(fromDer(Buffer.from(der, 'hex')))).toThrow()
  })
})
