import { constants, createHash, generateKeyPairSync, privateEncrypt, sign, ECDH } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { publicKeyOfCsr } from '../../adapters/x509/csr.ts'
import {
  bitString,
  fromDer,
  integer,
  integerFromHex,
  nothing,
  octetString,
  oid,
  sequence,
  toDer,
} from '../../adapters/x509/der.ts'
import { OID } from '../../adapters/x509/oids.ts'
import {
  csrPem,
  ecKeys,
  ED25519,
  makeCsr,
  RSA_SHA256,
  rsaKeys,
  spkiOf,
  type CsrAlgorithm,
  type CsrWish,
} from '../support/csr.ts'
import { problemsOf, refusal } from './x509-csr-steps.ts'

const ecdsa = (hash: string, id: string): CsrAlgorithm => ({ id, hash })
const P256 = ecKeys()
const RSA = rsaKeys()
const EC_SPKI = spkiOf(P256)

describe('accepted is a request', () => {
  const wishes: Record<string, CsrWish> = {
    'of P-256': {},
    'of P-256 with SHA-384': { algorithm: ecdsa('sha384', OID.ecdsaWithSha384) },
    'of P-256 with SHA-512': { algorithm: ecdsa('sha512', OID.ecdsaWithSha512) },
    'of P-384': { keys: ecKeys('secp384r1'), algorithm: ecdsa('sha384', OID.ecdsaWithSha384) },
    'of RSA 2048': { keys: RSA, algorithm: RSA_SHA256 },
    'of RSA 2048 without NULL': { keys: RSA, algorithm: { id: OID.rsaWithSha256, hash: 'sha256' } },
    'of RSA 2048 with SHA-512': {
      keys: RSA,
      algorithm: { id: OID.rsaWithSha512, hash: 'sha512', parameters: [nothing()] },
    },
    'of RSA 3072': { keys: rsaKeys(3072), algorithm: RSA_SHA256 },
    'of Ed25519': { keys: generateKeyPairSync('ed25519'), algorithm: ED25519 },
    'without attributes': { attributes: [] },
  }

  test.each(Object.entries(wishes))('%s, for its key', (_, wish) => {
    const keys = wish.keys ?? P256
    const pem = csrPem(makeCsr({ ...wish, keys }))
    expect(publicKeyOfCsr(pem).equals(keys.publicKey)).toBe(true)
    expect(problemsOf({ csr: pem })).toEqual([])
  })

  test.each<[string, (pem: string) => string]>([
    ['labelled NEW CERTIFICATE REQUEST', (pem) => pem.replaceAll('CERTIFICATE', 'NEW CERTIFICATE')],
    ['with CRLF at the ends of its lines', (pem) => pem.replaceAll('\n', '\r\n')],
    ['in lines of another length', (pem) => pem.replace(/\n(?=[A-Za-z0-9+/])/, '\n\n')],
    ['between blank lines', (pem) => `\n\n${pem}\n\n`],
    ['without a line end at its end', (pem) => pem.trimEnd()],
  ])('%s', (_, rewrite) => {
    expect(refusal(rewrite(csrPem(makeCsr())))).toBeUndefined()
  })
})

/** A signature that verifies under exponent 1 without any private key: the padded hash itself. */
function signatureForExponentOne(): CsrWish {
  const jwk = RSA.publicKey.export({ format: 'jwk' })
  const modulus = Buffer.from(jwk.n ?? '', 'base64url').toString('hex')
  const rsaKey = toDer(sequence(integerFromHex(modulus), integer(1)))
  const publicKeyInfo = sequence(sequence(oid('1.2.840.113549.1.1.1'), nothing()), bitString(rsaKey))
  const unsigned = fromDer(makeCsr({ publicKeyInfo }))
  const [info] = unsigned.value as [typeof unsigned]
  const digest = createHash('sha256').update(toDer(info)).digest()
  const digestInfo = toDer(sequence(sequence(oid(OID.sha256), nothing()), octetString(digest)))
  const padding = Buffer.alloc(256 - 3 - digestInfo.length, 0xff)
  const padded = Buffer.concat([Buffer.of(0, 1), padding, Buffer.of(0), digestInfo])
  return { publicKeyInfo, algorithm: RSA_SHA256, keys: RSA, signature: bitString(padded) }
}

function pointOf(form: 'compressed' | 'hybrid'): CsrWish {
  const jwk = P256.publicKey.export({ format: 'jwk' })
  const uncompressed = Buffer.concat([
    Buffer.of(4),
    Buffer.from(jwk.x ?? '', 'base64url'),
    Buffer.from(jwk.y ?? '', 'base64url'),
  ])
  const point = ECDH.convertKey(uncompressed, 'prime256v1', undefined, undefined, form)
  const curve = sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7'))
  return { keys: P256, publicKeyInfo: sequence(curve, bitString(Buffer.from(point))) }
}

describe('refused for its key is a request', () => {
  const rsa = (bits: number, exponent?: number): CsrWish => ({
    keys: rsaKeys(bits, exponent),
    algorithm: RSA_SHA256,
  })
  const explicit = { namedCurve: 'prime256v1', paramEncoding: 'explicit' } as const
  const notAccepted = /^its key is not accepted: use EC P-256 or P-384, RSA/
  const wishes: Record<string, [CsrWish, RegExp]> = {
    'of RSA 1024': [rsa(1024), notAccepted],
    'of RSA 2047': [rsa(2047), notAccepted],
    'of RSA with exponent 3': [rsa(2048, 3), notAccepted],
    'of RSA with exponent 1': [
      signatureForExponentOne(),
      /^its (key is not accepted|public key cannot be read)/,
    ],
    'of P-521': [{ keys: ecKeys('secp521r1') }, notAccepted],
    'of P-224': [{ keys: ecKeys('secp224r1') }, notAccepted],
    'of secp256k1': [{ keys: ecKeys('secp256k1') }, notAccepted],
    'of P-256 with its curve spelled out': [
      { keys: generateKeyPairSync('ec', explicit) },
      /^its (public key is not written in the usual form|public key cannot be read|key is not accepted)/,
    ],
    'of P-256 with a compressed point': [pointOf('compressed'), /not written in the usual form/],
    'of P-256 with a hybrid point': [pointOf('hybrid'), /^its public key (is not written|cannot be read)/],
    'of P-256 with a point that is not on the curve': [
      { keys: P256, publicKeyInfo: sequence(EC_SPKI.value[0] as never, bitString(Buffer.alloc(65, 4))) },
      /cannot be read/,
    ],
    'of X25519': [{ keys: P256, publicKeyInfo: spkiOf(generateKeyPairSync('x25519')) }, notAccepted],
    'of Ed448': [
      { keys: generateKeyPairSync('ed448'), algorithm: { id: '1.3.101.113', hash: null } },
      notAccepted,
    ],
    'of DSA': [
      {
        keys: generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 }),
        algorithm: { id: '2.16.840.1.101.3.4.3.2', hash: 'sha256' },
      },
      notAccepted,
    ],
    'of RSA-PSS': [
      { keys: generateKeyPairSync('rsa-pss', { modulusLength: 2048 }), algorithm: RSA_SHA256 },
      notAccepted,
    ],
    'of no known kind': [
      { keys: P256, publicKeyInfo: sequence(sequence(oid('1.2.3.4')), bitString(Buffer.alloc(32))) },
      /cannot be read/,
    ],
  }

  test.each(Object.entries(wishes))('%s', (_, [wish, message]) => {
    const pem = csrPem(makeCsr(wish))
    expect(refusal(pem)).toMatch(message)
    expect(problemsOf({ csr: pem })).toEqual([expect.stringMatching(/^csr: its /)])
  })
})

describe('refused for its signature is a request', () => {
  const { publicKey } = P256
  const other = ecKeys().privateKey
  const raw = sign('sha256', Buffer.from('something else'), P256.privateKey)
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING }
  const algorithm = (id: string, hash: string | null): CsrWish => ({ keys: P256, algorithm: { id, hash } })
  const rsa = (id: string, hash: string): CsrWish => ({
    keys: RSA,
    algorithm: { id, hash, parameters: [nothing()] },
  })
  const unfit = /^its signature does not fit its public key$/
  const weak = /^its signature algorithm is not accepted: use SHA-256 or stronger$/
  const wishes: Record<string, [CsrWish, RegExp]> = {
    'by another key': [{ keys: { publicKey, privateKey: other } }, unfit],
    'over other bytes': [{ keys: P256, signature: bitString(raw) }, unfit],
    'of no bytes': [{ keys: P256, signature: bitString(Buffer.alloc(0)) }, unfit],
    'of zeros': [{ keys: P256, signature: bitString(fromHex('3006020100020100')) }, unfit],
    'with bytes after it': [{ keys: P256, signature: bitString(Buffer.concat([raw, raw])) }, unfit],
    'of another kind of padding': [
      {
        keys: RSA,
        algorithm: RSA_SHA256,
        signature: bitString(sign('sha256', Buffer.alloc(9), { key: RSA.privateKey, ...pss })),
      },
      unfit,
    ],
    'by ECDSA with SHA-1': [algorithm('1.2.840.10045.4.1', 'sha1'), weak],
    'by ECDSA with SHA-224': [algorithm('1.2.840.10045.4.3.1', 'sha224'), weak],
    'by RSA with SHA-1': [rsa('1.2.840.113549.1.1.5', 'sha1'), weak],
    'by RSA with MD5': [rsa('1.2.840.113549.1.1.4', 'md5'), weak],
    'by an algorithm that nobody knows': [algorithm('1.2.3.4', 'sha256'), weak],
    'of an EC key under the name of RSA': [algorithm(OID.rsaWithSha256, 'sha256'), unfit],
    'of an EC key under the name of Ed25519': [algorithm(OID.ed25519, 'sha256'), unfit],
    'of an RSA key under the name of ECDSA': [rsa(OID.ecdsaWithSha256, 'sha256'), unfit],
    'under the name of another hash': [algorithm(OID.ecdsaWithSha512, 'sha256'), unfit],
    'of ECDSA with parameters': [
      { keys: P256, algorithm: { id: OID.ecdsaWithSha256, hash: 'sha256', parameters: [nothing()] } },
      unfit,
    ],
    'of RSA with other parameters': [
      { keys: RSA, algorithm: { ...RSA_SHA256, parameters: [integer(0)] } },
      unfit,
    ],
    'of RSA with parameters twice': [
      { keys: RSA, algorithm: { ...RSA_SHA256, parameters: [nothing(), nothing()] } },
      unfit,
    ],
  }

  test.each(Object.entries(wishes))('%s', (_, [wish, message]) => {
    const pem = csrPem(makeCsr(wish))
    expect(refusal(pem)).toMatch(message)
    expect(problemsOf({ csr: pem })).toEqual([expect.stringMatching(/^csr: its signature/)])
  })

  test('that is the raw hash, encrypted with the key', () => {
    const hash = createHash('sha256').update('x').digest()
    const signature = bitString(privateEncrypt(RSA.privateKey, hash))
    expect(refusal(csrPem(makeCsr({ keys: RSA, algorithm: RSA_SHA256, signature })))).toMatch(unfit)
  })
})

function fromHex(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}
