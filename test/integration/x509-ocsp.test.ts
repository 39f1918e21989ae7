import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { octetString, toDer } from '../../adapters/x509/der.ts'
import type { Adapter, Ledger, OcspAnswer } from '../../broker/adapter.ts'
import { makeIdentity } from '../support/certificates.ts'
import { ecKeys, rsaKeys } from '../support/csr.ts'
import { freshLedger, type FreshLedger } from '../support/ledger.ts'
import { certIdOf, HASHES, keyHashOf, NONCE, ocspRequest, readOcsp, type ReadOcsp } from '../support/ocsp.ts'
import {
  callFor,
  counting,
  handleOf,
  recordGrants,
  x509Files,
  type Files,
  type TestHandle,
} from './x509-steps.ts'

const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'
const TRY_LATER = '30030a0103'

const root = makeIdentity({ name: 'authority' })
const old = makeIdentity({ name: 'old' })
const stranger = makeIdentity({ name: 'stranger' })
const issuer = root.certificate

let store: FreshLedger
let ledger: Ledger
let files: Files
let adapter: Adapter
let good: TestHandle
let withdrawn: TestHandle

const idOf = (index: number): string => adapter.verification?.authorities[index]?.id ?? ''

beforeAll(async () => {
  store = await freshLedger()
  ledger = store.ledger
  files = await x509Files()
  const delegate = makeIdentity({ name: 'ocsp', issuer: old, isCa: false, purposes: [OCSP_SIGNING] })
  const accepted = [{ certFile: (await files.write(old)).certFile, ocsp: await files.write(delegate) }]
  adapter = await files.adapter({ ledger, ca: root, settings: { accepted, ocspSeconds: 90 } })
  good = handleOf(idOf(0))
  withdrawn = handleOf(idOf(0))
  await recordGrants(store.url, [good, withdrawn])
  await adapter.revoke([withdrawn], callFor())
})
afterAll(async () => {
  await files[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
})

async function ask(request: Uint8Array, of = adapter): Promise<OcspAnswer | undefined> {
  return of.verification?.ocsp(request)
}

async function answer(request: Uint8Array, of = adapter): Promise<ReadOcsp> {
  return readOcsp((await ask(request, of))?.der ?? new Uint8Array())
}

describe('a certificate', () => {
  test('that was handed out is good, one that was withdrawn is revoked, any other is unknown', async () => {
    const serials = [good.serial, withdrawn.serial, '0123']
    const { status, answers } = await answer(ocspRequest(serials.map((serial) => certIdOf(issuer, serial))))
    expect(status).toBe(0)
    expect(answers.map((one) => [one.serial, one.status])).toEqual([
      [good.serial, 'good'],
      [withdrawn.serial, 'revoked'],
      ['0123', 'unknown'],
    ])
    const [entry] = (await ledger.list(idOf(0), new Date(0))).entries
    const wholeSecond = Math.floor((entry?.withdrawnAt.getTime() ?? 0) / 1000) * 1000
    expect(answers.map(({ revokedAt }) => revokedAt?.getTime())).toEqual([undefined, wholeSecond, undefined])
  })

  test('is revoked as soon as its withdrawal is answered', async () => {
    const handle = handleOf(idOf(0))
    await recordGrants(store.url, [handle])
    const request = ocspRequest([certIdOf(issuer, handle.serial)])
    expect((await answer(request)).answers[0]?.status).toBe('good')
    await adapter.revoke([handle], callFor())
    expect((await answer(request)).answers[0]?.status).toBe('revoked')
  })

  test.each(Object.keys(HASHES) as (keyof typeof HASHES)[])(
    'can be named with %s, with NULL and without',
    async (hash) => {
      for (const wish of [{ hash }, { hash, parameters: [] }]) {
        const certId = certIdOf(issuer, good.serial, wish)
        const { answers } = await answer(ocspRequest([certId]))
        expect(answers).toMatchObject([{ status: 'good', certId: toDer(certId).toString('hex') }])
      }
    },
  )

  test('of the same serial and another authority is unknown, beside one of ours', async () => {
    const request = ocspRequest([certIdOf(stranger.certificate, good.serial), certIdOf(issuer, good.serial)])
    expect((await answer(request)).answers.map(({ status }) => status)).toEqual(['unknown', 'good'])
  })

  test('may be asked about twice in one request', async () => {
    const certId = certIdOf(issuer, withdrawn.serial)
    expect((await answer(ocspRequest([certId, certId]))).answers.map(({ status }) => status)).toEqual([
      'revoked',
      'revoked',
    ])
  })

  test('whose serial is longer than any of ours is unknown, and the store is not asked', async () => {
    const { ledger: counted, asked } = counting(ledger)
    const own = await files.adapter({ ledger: counted, ca: root })
    const request = ocspRequest([certIdOf(issuer, '7f'.repeat(5_000))])
    expect((await answer(request, own)).answers[0]?.status).toBe('unknown')
    expect(asked.statusOf).toBe(0)
  })

  test('of somebody else only is nothing that we answer for', async () => {
    expect(await ask(ocspRequest([certIdOf(stranger.certificate, good.serial)]))).toBeUndefined()
    const sameName = makeIdentity({ name: 'authority' })
    expect(await ask(ocspRequest([certIdOf(sameName.certificate, good.serial)]))).toBeUndefined()
    const sameKey = makeIdentity({
      name: 'other',
      keys: { publicKey: root.publicKey, privateKey: root.privateKey },
    })
    expect(await ask(ocspRequest([certIdOf(sameKey.certificate, good.serial)]))).toBeUndefined()
  })
})

describe('an answer', () => {
  test('is signed by the authority, says when, and until when', async () => {
    const request = ocspRequest([certIdOf(issuer, good.serial)])
    const found = await answer(request)
    const [single] = found.answers
    expect(found.isSignedBy(issuer)).toBe(true)
    expect(found.isSignedBy(stranger.certificate)).toBe(false)
    expect(found.responderKeyHash).toBe(keyHashOf(issuer))
    expect(found.certificates).toEqual([])
    const [produced = 0, since = 0, until = 0] = [
      found.producedAt,
      single?.thisUpdate,
      single?.nextUpdate,
    ].map((moment) => moment?.getTime())
    expect(produced - since).toBe(10_000)
    expect([90_000, 91_000]).toContain(until - produced)
  })

  test('by a delegate brings its certificate, whose key signed it', async () => {
    const handle = handleOf(idOf(1))
    await recordGrants(store.url, [handle])
    const found = await answer(ocspRequest([certIdOf(old.certificate, handle.serial)]))
    const { certificate } = old
    const delegate = new X509Certificate(found.certificates[0] ?? '')
    expect(found.answers[0]?.status).toBe('good')
    expect(found.certificates).toHaveLength(1)
    expect(delegate.checkIssued(certificate) && delegate.verify(certificate.publicKey)).toBe(true)
    expect(delegate.keyUsage).toEqual([OCSP_SIGNING])
    expect(found.isSignedBy(delegate)).toBe(true)
    expect(found.isSignedBy(certificate)).toBe(false)
    expect(found.responderKeyHash).toBe(keyHashOf(delegate))
  })

  test.each([
    ['P-384', ecKeys('secp384r1')],
    ['RSA', rsaKeys()],
  ])('of an authority of %s is signed as its key wants it', async (name, keys) => {
    const identity = makeIdentity({ name, keys })
    const own = await files.adapter({ ledger, ca: identity })
    const found = await answer(ocspRequest([certIdOf(identity.certificate, '01')]), own)
    expect(found.answers[0]?.status).toBe('unknown')
    expect(found.isSignedBy(identity.certificate)).toBe(true)
  })

  test('may be shared until it runs out, unless it repeats a nonce', async () => {
    const certIds = [certIdOf(issuer, good.serial)]
    const shared = await ask(ocspRequest(certIds))
    expect(shared?.sharedUntil).toEqual(readOcsp(shared?.der ?? new Uint8Array()).answers[0]?.nextUpdate)
    expect((await ask(ocspRequest(certIds, { nonce: Buffer.alloc(16, 1) })))?.sharedUntil).toBeUndefined()
  })
})

describe('a nonce', () => {
  const withNonce = (length: number): Buffer =>
    ocspRequest([certIdOf(issuer, good.serial)], { nonce: Buffer.alloc(length, 0xab) })

  test.each([1, 16, 32, 127, 128])('of %i bytes is repeated', async (length) => {
    const { extensions } = await answer(withNonce(length))
    expect(extensions.get(NONCE)?.value).toEqual(toDer(octetString(Buffer.alloc(length, 0xab))))
  })

  test('that is not there is not made up', async () => {
    expect([...(await answer(ocspRequest([certIdOf(issuer, good.serial)]))).extensions]).toEqual([])
  })
})

test('when the store is away, the answer is to try later, and nothing that may be shared', async () => {
  const away = async (): Promise<never> => Promise.reject(new Error('away'))
  const own = await files.adapter({ ledger: { ...ledger, statusOf: away }, ca: root })
  const found = await ask(ocspRequest([certIdOf(issuer, good.serial)]), own)
  expect(Buffer.from(found?.der ?? []).toString('hex')).toBe(TRY_LATER)
  expect(found?.sharedUntil).toBeUndefined()
})
