import { describe, expect, test } from 'vitest'
import { MAX_CSR_LENGTH } from '../../adapters/x509/csr.ts'
import {
  bitString,
  boolean,
  fromDer,
  integer,
  nothing,
  octetString,
  oid,
  sequence,
  set,
  tagged,
  toDer,
  type Asn1,
} from '../../adapters/x509/der.ts'
import { OID } from '../../adapters/x509/oids.ts'
import { readSequence } from '../../adapters/x509/read-der.ts'
import { csrPem, ecKeys, makeCsr, RSA_SHA256, rsaKeys, spkiOf, type CsrWish } from '../support/csr.ts'
import { pemOf } from '../support/crl.ts'
import { problemsOf, refusal } from './x509-csr-steps.ts'

const P256 = ecKeys()
const DER = makeCsr({ keys: P256 })
const GOOD = csrPem(DER)
const BASE64 = DER.toString('base64')

const NOT_PEM = 'expected one CERTIFICATE REQUEST in PEM'
const NOT_BASE64 = 'its PEM is not base64'
const NOT_DER = 'it is not a certificate signing request in DER'
const TOO_LONG = 'expected at most 16384 characters'

const around = (base64: string): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`

describe('refused is text that', () => {
  test.each<[string, string, string]>([
    ['is empty', '', NOT_PEM],
    ['is blank', '  \n', NOT_PEM],
    ['is no PEM', 'certificate, please', NOT_PEM],
    ['is bare base64', BASE64, NOT_PEM],
    ['is DER', DER.toString('latin1'), NOT_PEM],
    ['is two requests', GOOD + GOOD, NOT_PEM],
    ['has something before it', `x\n${GOOD}`, NOT_PEM],
    ['has something after it', `${GOOD}x`, NOT_PEM],
    ['has a NUL after it', `${GOOD}\0`, NOT_PEM],
    ['has headers', GOOD.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n'), NOT_PEM],
    ['is labelled as a certificate', pemOf('CERTIFICATE', DER), NOT_PEM],
    ['is labelled as a public key', pemOf('PUBLIC KEY', DER), NOT_PEM],
    ['is labelled in lower case', GOOD.toLowerCase(), NOT_PEM],
    ['begins new and ends old', GOOD.replace('BEGIN C', 'BEGIN NEW C'), NOT_PEM],
    ['begins old and ends new', GOOD.replace('END C', 'END NEW C'), NOT_PEM],
    ['does not end', GOOD.replace(/-----END.*/, ''), NOT_PEM],
    ['has no content', around(''), NOT_DER],
    ['has blanks for content', around('  \n '), NOT_DER],
    ['is not base64', around(BASE64.replace(/A/, '*')), NOT_PEM],
    ['is base64url', around(`${BASE64.slice(0, 8)}-_${BASE64.slice(10)}`), NOT_PEM],
    ['is base64 with padding in the middle', around(`${BASE64.slice(0, 6)}==${BASE64.slice(8)}`), NOT_BASE64],
    ['is base64 with too much padding', around(`${BASE64}====`), NOT_BASE64],
    [
      'is base64 with stray bits',
      around(DER.subarray(0, 1).toString('base64').replace('A', 'B')),
      NOT_BASE64,
    ],
    ['is longer than 16 KiB', GOOD.padEnd(MAX_CSR_LENGTH + 1, '\n'), TOO_LONG],
    ['is much longer', around('A'.repeat(10_000_000)), TOO_LONG],
  ])('%s', (_, pem, message) => {
    expect(problemsOf({ csr: pem })).toEqual([`csr: ${message}`])
    expect(refusal(pem)).toBe(message === TOO_LONG ? NOT_PEM : message)
  })

  test.each([null, 7, true, {}, [], [GOOD]])('is none: %j', (csr) => {
    expect(problemsOf({ csr })).toEqual([expect.stringMatching(/^csr: /)])
  })
})

test('text of 16 KiB is accepted, if blanks fill it up', () => {
  expect(refusal(GOOD.padEnd(MAX_CSR_LENGTH, '\n'))).toBeUndefined()
})

test('a request that is cut short anywhere is refused', () => {
  const refusals = Array.from(DER.keys(), (length) => refusal(csrPem(DER.subarray(0, length))))
  expect(new Set(refusals)).toEqual(new Set([NOT_PEM, NOT_DER]))
})

test('text that is cut short anywhere is refused', () => {
  const refusals = Array.from(GOOD.trimEnd(), (_, length) => refusal(GOOD.slice(0, length)))
  expect(refusals).toHaveLength(GOOD.length - 1)
  expect(new Set(refusals)).toEqual(new Set([NOT_PEM]))
})

test.each([
  ['P-256', P256, undefined],
  ['RSA', rsaKeys(), RSA_SHA256],
])('a request of %s in which any one bit is another is refused', (_, keys, algorithm) => {
  const der = makeCsr({ keys, ...(algorithm && { algorithm }) })
  const accepted = Array.from({ length: der.length * 8 }, (__, bit) => bit).filter((bit) => {
    const flipped = Buffer.from(der)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    return refusal(csrPem(flipped)) === undefined
  })
  expect(accepted).toEqual([])
})

/** Wraps what is in a sequence in other ways than the one that DER knows. */
const CONTENT = DER.subarray(4)
const bytes = (...parts: (number[] | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part)))

describe('refused as not DER is a request', () => {
  const nested = (depth: number): Buffer => {
    let der = bytes()
    for (let level = 0; level < depth; level += 1) der = bytes(header(der.length), der)
    return der
  }
  const inLevels = (depth: number): Buffer =>
    makeCsr({ keys: P256, attributes: [tagged(0, sequencesInSequences(depth))] })

  test.each<[string, Uint8Array]>([
    ['with bytes after it', bytes(DER, [0])],
    ['with another after it', bytes(DER, DER)],
    ['of indefinite length', bytes([0x30, 0x80], CONTENT, [0, 0])],
    ['of indefinite length that does not end', bytes([0x30, 0x80], CONTENT)],
    ['whose length has a leading zero', bytes([0x30, 0x83, 0], DER.subarray(2))],
    ['whose length is written too long', bytes([0x30, 0x84, 0, 0], DER.subarray(2, 4), CONTENT)],
    ['whose length has 127 bytes', bytes([0x30, 0xff], Buffer.alloc(127, 0xff), CONTENT)],
    ['whose length is 4 GB', bytes([0x30, 0x84, 0xff, 0xff, 0xff, 0xff], CONTENT)],
    ['whose length is 2^53', bytes([0x30, 0x87, 0x20, 0, 0, 0, 0, 0, 0], CONTENT)],
    ['that is a set', bytes([0x31], DER.subarray(1))],
    ['that is a primitive', bytes([0x10], DER.subarray(1))],
    ['that is nested 40 deep', inLevels(40)],
    ['that is nested 1,000 deep', nested(1_000)],
    ['that is nested 3,000 deep', nested(3_000)],
    ['of nothing', bytes([0x30, 0])],
  ])('%s', (_, der) => {
    const pem = csrPem(der)
    expect(refusal(pem)).toBe(NOT_DER)
    expect(problemsOf({ csr: pem })).toEqual([`csr: ${NOT_DER}`])
  })
})

function header(length: number): number[] {
  if (length < 128) return [0x30, length]
  if (length < 256) return [0x30, 0x81, length]
  return [0x30, 0x82, length >> 8, length & 0xff]
}

/** node-forge would write an integer as short as it can: the tag is hidden from it in the class. */
function asItIs(tag: number, content: Uint8Array): Asn1 {
  return { ...octetString(content), tagClass: tag, type: 0 }
}

function sequencesInSequences(depth: number): Asn1 {
  let value = sequence()
  for (let level = 0; level < depth; level += 1) value = sequence(value)
  return value
}

describe('refused is a request in which', () => {
  const key = spkiOf(P256)
  const wishes: Record<string, CsrWish> = {
    'the version is 2': { version: integer(1) },
    'the version is negative': { version: { ...integer(1), value: '\xff' } },
    'the version has no digits': { version: { ...integer(1), value: '' } },
    'the version is written too long': { version: asItIs(2, Buffer.of(0, 0)) },
    'the version is a boolean': { version: boolean(false) },
    'the version is missing': { version: sequence() },
    'the subject is a set': { subject: set() },
    'the subject is a text': { subject: octetString(Buffer.from('agent')) },
    'the key is a text': { publicKeyInfo: octetString(Buffer.from('key')) },
    'the key is a set': { publicKeyInfo: set(...(key.value as never[])) },
    'the attributes are a set': { attributes: [set()] },
    'the attributes are [1]': { attributes: [tagged(1)] },
    'the attributes are primitive': { attributes: [{ ...tagged(0), constructed: false, value: '' }] },
    'the attributes are there twice': { attributes: [tagged(0), tagged(0)] },
    'something follows the attributes': { surplus: { info: [nothing()] } },
    'something follows the signature': { surplus: { request: [nothing()] } },
    'the signature is an octet string': { signature: octetString(Buffer.alloc(70)) },
    'the signature is a sequence': { signature: sequence() },
    'the signature has unused bits': { signature: bitString(Buffer.alloc(70), 3) },
    'the signature is not even a count of bits': { signature: { ...bitString(Buffer.alloc(0)), value: '' } },
  }

  test.each(Object.entries(wishes))('%s', (_, wish) => {
    const pem = csrPem(makeCsr({ keys: P256, ...wish }))
    expect(refusal(pem)).toBe(NOT_DER)
    expect(problemsOf({ csr: pem })).toEqual([`csr: ${NOT_DER}`])
  })

  test.each<[string, string]>([
    ['is padded', '\x2a\x80\x86\x48\xce\x3d\x04\x03\x02'],
    ['is cut short', '\x2a\x86\x48\xce\x3d\x04\x03\x02\x80'],
    ['has a number beyond all bounds', `\x2a${'\xff'.repeat(20)}\x02`],
    ['is empty', ''],
  ])('the id of the algorithm %s', (_, value) => {
    const good = oid(OID.ecdsaWithSha256)
    const [info, , signature] = readSequence(fromDer(DER)) as [Asn1, Asn1, Asn1]
    const der = toDer(sequence(info, sequence({ ...good, value }), signature))
    expect(refusal(csrPem(der))).toBe(NOT_DER)
  })
})
