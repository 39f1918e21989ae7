import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readOcspRequest } from '../../adapters/x509/ocsp-request.ts'
import {
  integer,
  integerFromHex,
  octetString,
  sequence,
  tagged,
  toDer,
  type Asn1,
} from '../../adapters/x509/der.ts'
import { extension } from '../../adapters/x509/extensions.ts'
import { readSequence } from '../../adapters/x509/read-der.ts'
import type { Adapter, Ledger, SerialStatus } from '../../broker/adapter.ts'
import { makeIdentity } from '../support/certificates.ts'
import { mutate, seededRandom } from '../support/mutation.ts'
import { certIdOf, NONCE, ocspRequest, readOcsp, type ReadOcsp } from '../support/ocsp.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'
import { x509Fixture, type X509Fixture } from './x509-certificate-steps.ts'

const MALFORMED = '30030a0101'

const ca = makeIdentity({ name: 'authority' })
const issuer = ca.certificate

let fixture: X509Fixture
let adapter: Adapter

beforeAll(async () => {
  fixture = await x509Fixture()
  adapter = await fixture.adapter({ ca, ledger: ledgerOf(async () => new Map()) })
})
afterAll(() => fixture[Symbol.asyncDispose]())

function ledgerOf(statusOf: Ledger['statusOf']): Ledger {
  return { ...NO_SERVICES.ledger, statusOf }
}

async function hexOf(request: Uint8Array): Promise<string | undefined> {
  const found = await adapter.verification?.ocsp(request)
  return found && Buffer.from(found.der).toString('hex')
}

async function answer(request: Uint8Array, of = adapter): Promise<ReadOcsp> {
  return readOcsp((await of.verification?.ocsp(request))?.der ?? new Uint8Array())
}

describe('malformed is a request', () => {
  const certId = certIdOf(issuer, '0123')
  const unknown = extension('1.2.3.4', sequence(), true)
  const nested = (depth: number): Buffer => {
    let value = sequence()
    for (let level = 0; level < depth; level += 1) value = sequence(value)
    return toDer(value)
  }
  const tbs = (...parts: Asn1[]): Buffer => toDer(sequence(sequence(...parts)))

  test.each<[string, Uint8Array]>([
    ['of no bytes', Buffer.alloc(0)],
    ['of zeros', Buffer.alloc(100)],
    ['of text', Buffer.from('is it good?')],
    ['with bytes after it', Buffer.concat([ocspRequest([certId]), Buffer.of(0)])],
    ['about nothing', ocspRequest([])],
    ['about 17 certificates', ocspRequest(Array.from({ length: 17 }, () => certId))],
    ['with a critical extension that nobody knows', ocspRequest([certId], { extensions: [unknown] })],
    [
      'with an extension twice',
      ocspRequest([certId], {
        nonce: Buffer.of(1),
        extensions: [extension(NONCE, octetString(Buffer.of(1)))],
      }),
    ],
    [
      'with a nonce that is no octet string',
      ocspRequest([certId], { extensions: [extension(NONCE, integer(1))] }),
    ],
    [
      'with a critical extension of one certificate',
      tbs(sequence(sequence(certId, tagged(0, sequence(unknown))))),
    ],
    ['of version 2', ocspRequest([certId], { before: [tagged(0, integer(1))] })],
    [
      'with something after its extensions',
      ocspRequest([certId], { nonce: Buffer.of(1), after: [integer(1)] }),
    ],
    ['with two lists', ocspRequest([certId], { after: [sequence(sequence(certId))] })],
    [
      'with something after the signature',
      ocspRequest([certId], { afterTbs: [tagged(0, sequence()), integer(1)] }),
    ],
    [
      'with a serial that is negative',
      ocspRequest([sequence(...readSequence(certId).slice(0, 3), { ...integer(1), value: '\xff' })]),
    ],
    [
      'with a serial without digits',
      ocspRequest([sequence(...readSequence(certId).slice(0, 3), { ...integer(1), value: '' })]),
    ],
    ['with a hash that nobody knows', ocspRequest([certIdOf(issuer, '01', { parameters: [integer(1)] })])],
    ['with more than a serial', ocspRequest([sequence(...readSequence(certId), integer(1))])],
    ['that is nested 40 deep', nested(40)],
    ['that is nested 3,000 deep', nested(3_000)],
    ['of a million bytes', toDer(sequence(octetString(Buffer.alloc(1_000_000))))],
    ['of a list that is none', tbs(integerFromHex('01'))],
  ])('%s', async (_, request) => {
    expect(await hexOf(request)).toBe(MALFORMED)
  })

  test.each([0, 129, 4_000])('with a nonce of %i bytes', async (length) => {
    expect(await hexOf(ocspRequest([certId], { nonce: Buffer.alloc(length, 1) }))).toBe(MALFORMED)
  })

  test('that is cut short anywhere', async () => {
    const request = ocspRequest([certId, certId], { nonce: Buffer.alloc(32, 1) })
    const answers = await Promise.all(
      Array.from(request.keys(), (length) => hexOf(request.subarray(0, length))),
    )
    expect(new Set(answers)).toEqual(new Set([MALFORMED]))
  })
})

describe('not malformed is a request', () => {
  const certId = certIdOf(issuer, '0123')

  test.each<[string, Uint8Array]>([
    ['with its version', ocspRequest([certId], { before: [tagged(0, integer(0))] })],
    ['with the name of who asks', ocspRequest([certId], { before: [tagged(1, tagged(4, sequence()))] })],
    ['with a signature', ocspRequest([certId], { afterTbs: [tagged(0, sequence(sequence()))] })],
    [
      'with an extension that need not be known',
      ocspRequest([certId], { extensions: [extension('1.2.3.4', sequence())] }),
    ],
    [
      'with a critical nonce',
      ocspRequest([certId], { extensions: [extension(NONCE, octetString(Buffer.of(7)), true)] }),
    ],
    ['about 16 certificates', ocspRequest(Array.from({ length: 16 }, () => certId))],
  ])('%s', async (_, request) => {
    expect((await answer(request)).answers[0]?.status).toBe('unknown')
  })
})

test('a mutated request is malformed, or answered for what it says, and never breaks anything', async () => {
  const original = ocspRequest([certIdOf(issuer, '0123'), certIdOf(issuer, '4567', { hash: 'sha256' })], {
    nonce: Buffer.alloc(16, 1),
  })
  const random = seededRandom(4711)
  const statuses = new Map<number, number>()
  for (let round = 0; round < 20_000; round += 1) {
    const request = mutate(original, random)
    const found = await adapter.verification?.ocsp(request)
    // Undefined: the authority that it names is another now.
    const status = found === undefined ? -1 : readOcsp(found.der).status
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  expect([...statuses.keys()].toSorted()).toEqual([-1, 0, 1])
})

test('a mutated request is never read as one with as many certificates as nobody may ask about', () => {
  const random = seededRandom(815)
  const original = ocspRequest(
    Array.from({ length: 16 }, (_, index) => certIdOf(issuer, `0${index.toString(16)}`)),
  )
  const counts = new Set<number>()
  for (let round = 0; round < 3_000; round += 1) counts.add(countOf(mutate(original, random)))
  expect(Math.max(...counts)).toBeLessThanOrEqual(16)
})

function countOf(request: Uint8Array): number {
  try {
    return readOcspRequest(request).certIds.length
  } catch {
    return 0
  }
}

describe('however many ask at once', () => {
  const serials = Array.from({ length: 2_500 }, (_, index) => (index + 4096).toString(16))

  /** Answers `good` for even serials after a while, and counts. */
  function slowLedger(): { ledger: Ledger; questions: number[]; most: () => number } {
    const questions: number[] = []
    let now = 0
    let most = 0
    const statusOf: Ledger['statusOf'] = async (_, asked) => {
      now += 1
      most = Math.max(most, now)
      questions.push(asked.length)
      await new Promise((resolve) => setImmediate(resolve))
      now -= 1
      const statusFor = (serial: string): SerialStatus => ({
        status: Number.parseInt(serial, 16) % 2 === 0 ? 'good' : 'unknown',
      })
      return new Map(asked.map((serial) => [serial, statusFor(serial)]))
    }
    return { ledger: ledgerOf(statusOf), questions, most: () => most }
  }

  test('the store is asked few questions, one at a time, and each gets its own answer', async () => {
    const { ledger, questions, most } = slowLedger()
    const own = await fixture.adapter({ ca, ledger })
    const answers = await Promise.all(
      serials.map((serial) => answer(ocspRequest([certIdOf(issuer, serial)]), own)),
    )
    expect(answers.map(({ answers: [one] }) => `${one?.serial} ${one?.status}`)).toEqual(
      serials.map((serial, index) => `${serial} ${index % 2 === 0 ? 'good' : 'unknown'}`),
    )
    expect(questions.length).toBeLessThanOrEqual(5)
    expect(Math.max(...questions)).toBeLessThan(1_016)
    expect(most()).toBe(1)
  })

  test('a question that fails is told to those who asked it, and the next ones are asked', async () => {
    let questions = 0
    const ledger = ledgerOf(async (_, asked) => {
      questions += 1
      if (questions === 1) throw new Error('away')
      return new Map(asked.map((serial) => [serial, { status: 'good' }]))
    })
    const own = await fixture.adapter({ ca, ledger })
    const request = ocspRequest([certIdOf(issuer, '1000')])
    expect(
      (await Promise.all([answer(request, own), answer(request, own)])).map(({ status }) => status),
    ).toEqual([3, 3])
    expect((await answer(request, own)).answers[0]?.status).toBe('good')
  })
})
