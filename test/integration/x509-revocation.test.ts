import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { AdapterError, type Adapter, type Ledger } from '../../broker/adapter.ts'
import { openDatabase } from '../../broker/db/database.ts'
import { createLedger } from '../../broker/ledger/ledger.ts'
import { createLogger } from '../../broker/logger.ts'
import { Secret } from '../../broker/secret.ts'
import { makeIdentity } from '../support/certificates.ts'
import { freshLedger, type FreshLedger } from '../support/ledger.ts'
import { connect } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import {
  caFrom,
  callFor,
  counting,
  handleOf,
  inSeconds,
  listOf,
  signingOf,
  x509Files,
  type Files,
  type TestHandle,
} from './x509-steps.ts'

const ENDED = { access: 'ended', removed: true }
const LISTED_NO_MORE = /^authority [0-9a-f]{32} is not configured with its key any more/

let store: FreshLedger
let ledger: Ledger
let files: Files

beforeAll(async () => {
  store = await freshLedger()
  ledger = store.ledger
  files = await x509Files()
})
afterAll(async () => {
  await files[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
})

const newAdapter = (wish: object = {}): Promise<Adapter> =>
  files.adapter({ ledger, ca: makeIdentity({ name: 'authority' }), ...wish })

async function isListed(adapter: Adapter, { authority, serial }: TestHandle): Promise<boolean> {
  return (await listOf(adapter, authority)).serials.has(serial)
}

describe('a withdrawal', () => {
  test('is on the list when it is answered, and can be repeated', async () => {
    const adapter = await newAdapter()
    const handle = handleOf(signingOf(adapter))
    expect(await isListed(adapter, handle)).toBe(false)
    for (const _ of [1, 2]) {
      expect(await adapter.revoke([handle], callFor())).toEqual([ENDED])
      expect(await isListed(adapter, handle)).toBe(true)
    }
  })

  test('is on the list of another broker soon after', async () => {
    const ca = makeIdentity({ name: 'authority' })
    const [one, other] = [await newAdapter({ ca }), await newAdapter({ ca })]
    const handle = handleOf(signingOf(one))
    expect(await isListed(other, handle)).toBe(false)
    await one.revoke([handle], callFor())
    await expect.poll(() => isListed(other, handle)).toBe(true)
  })

  test('of what was never signed, or has expired, needs no list', async () => {
    const adapter = await newAdapter()
    const authority = signingOf(adapter)
    const expired = handleOf(authority, { expiresAt: inSeconds(-1).toISOString() })
    const handles = [{ authority, subject: 'never signed' }, expired]
    expect(await adapter.revoke(handles, callFor())).toEqual([ENDED, ENDED])
    expect(await ledger.changes(authority)).toBe(0)
  })

  test('of what has expired by our own clock alone is listed all the same', async () => {
    const adapter = await newAdapter()
    const handle = handleOf(signingOf(adapter))
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    try {
      expect(await adapter.revoke([handle], callFor())).toEqual([ENDED])
    } finally {
      vi.useRealTimers()
    }
    expect(await isListed(adapter, handle)).toBe(true)
  })

  test('of many is one entry in the ledger for each authority, and one outcome for each handle', async () => {
    const { ledger: counted, asked } = counting(ledger)
    const old = makeIdentity({ name: 'old' })
    const adapter = await newAdapter({ ledger: counted, settings: { accepted: [await files.write(old)] } })
    const authorities = [signingOf(adapter), caFrom(old).id]
    const handles = Array.from({ length: 100 }, (_, index) => handleOf(authorities[index % 2] ?? ''))
    const twice = [...handles, ...handles.slice(0, 10)]
    expect(await adapter.revoke(twice, callFor())).toEqual(twice.map(() => ENDED))
    expect(asked.withdraw).toBe(2)
    const lists = await Promise.all(authorities.map((authority) => listOf(adapter, authority)))
    expect(lists.map(({ serials }) => serials.size)).toEqual([50, 50])
  })

  test.each([
    ['no handle at all', {}],
    ['a serial of zeros', { serial: '00' }],
    ['a serial with leading zeros', { serial: '0012' }],
    ['half a byte', { serial: 'abc' }],
    ['upper case', { serial: 'AB' }],
    ['no serial but an empty one', { serial: '' }],
    ['21 bytes', { serial: 'ab'.repeat(21) }],
    ['a serial that is SQL', { serial: "'; drop" }],
    ['an authority that is none', { authority: '../etc' }],
    ['a time that is none', { expiresAt: 'tomorrow' }],
    ['something more', { role: 'admin' }],
  ])('of a handle with %s leaves access open, and the others are ended', async (what, change) => {
    const adapter = await newAdapter()
    const good = handleOf(signingOf(adapter))
    const bad = what === 'no handle at all' ? {} : { ...good, ...change }
    expect(await adapter.revoke([bad, good], callFor())).toEqual([
      { access: 'open', error: expect.any(AdapterError) },
      ENDED,
    ])
    expect((await listOf(adapter)).serials).toEqual(new Set([good.serial]))
  })
})

describe('when the store is away', () => {
  test('withdrawals and lists fail, and succeed as soon as it is back', async () => {
    await using proxy = await startProxy(store.url)
    const url = new Secret(proxy.through(store.url))
    const logger = createLogger('silent')
    await using db = openDatabase({ url, poolSize: 2, applicationName: 'test', logger })
    const adapter = await newAdapter({ ledger: createLedger(db) })
    const handle = handleOf(signingOf(adapter))
    expect(await isListed(adapter, handle)).toBe(false)

    proxy.mode = 'refuse'
    proxy.cut()
    const failure = await adapter.revoke([handle], callFor()).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(AdapterError)
    expect(failure).toMatchObject({ failure: 'unavailable', settled: false })
    await expect
      .poll(() => listOf(adapter).then(String, ({ code }) => String(code)))
      .toBe('store_unavailable')
    for (const failing of [adapter.check(callFor()), adapter.prune?.('abcd1234', callFor())])
      await expect(failing).rejects.toThrow(
        new AdapterError('unavailable', 'the store does not answer', { settled: false }),
      )

    proxy.mode = 'pass'
    expect(await adapter.revoke([handle], callFor())).toEqual([ENDED])
    expect(await isListed(adapter, handle)).toBe(true)
    await adapter.check(callFor())
  })
})

describe('while authorities change', () => {
  const old = makeIdentity({ name: 'old' })

  test('certificates of the old one with its key are still listed, and it signs no new ones', async () => {
    const before = await newAdapter({ ca: old })
    const handle = handleOf(signingOf(before))
    const adapter = await newAdapter({ settings: { accepted: [await files.write(old)] } })
    expect(adapter.verification?.authorities.map(({ signs, lists }) => ({ signs, lists }))).toEqual([
      { signs: true, lists: true },
      { signs: false, lists: true },
    ])
    expect(await adapter.revoke([handle], callFor())).toEqual([ENDED])
    expect(await isListed(adapter, handle)).toBe(true)
    expect((await listOf(adapter, handle.authority)).isSignedBy(old.certificate)).toBe(true)
    expect((await listOf(adapter)).serials.size).toBe(0)
    expect(adapter.plan({ grantId: 'g' } as never)).toEqual({ authority: signingOf(adapter), subject: 'g' })
  })

  test('certificates of the old one without its key are accepted, cannot be listed, and stay open', async () => {
    const { certFile } = await files.write(old)
    const adapter = await newAdapter({ settings: { accepted: [{ certFile }] } })
    const handle = handleOf(caFrom(old).id)
    expect(adapter.verification?.authorities[1]).toMatchObject({ signs: false, lists: false })
    expect(adapter.verification?.authorities[1]?.certificates).toBe(old.certificate.toString())
    await expect(listOf(adapter, handle.authority)).rejects.toThrow('there is no list of this authority')
    const [outcome] = await adapter.revoke([handle], callFor())
    expect(outcome).toMatchObject({
      access: 'open',
      error: { message: expect.stringMatching(LISTED_NO_MORE) },
    })
  })

  test('certificates of one that is gone stay open until it is named again, or they expire', async () => {
    const adapter = await newAdapter()
    const handle = handleOf(caFrom(old).id)
    const [outcome] = await adapter.revoke([handle], callFor())
    expect(outcome).toMatchObject({
      access: 'open',
      error: { message: expect.stringMatching(LISTED_NO_MORE) },
    })
    const again = await newAdapter({ settings: { accepted: [await files.write(old)] } })
    expect(await isListed(again, handle)).toBe(true)
    expect(await again.revoke([handle], callFor())).toEqual([ENDED])
    const expired = { ...handle, expiresAt: inSeconds(-1).toISOString() }
    expect(await adapter.revoke([expired], callFor())).toEqual([ENDED])
  })

  test('one authority is not named twice', async () => {
    await expect(newAdapter({ ca: old, settings: { accepted: [await files.write(old)] } })).rejects.toThrow(
      /^authority [0-9a-f]{32} is configured twice/,
    )
  })
})

describe('with revocation `none`', () => {
  test('a withdrawal waits for the end of the certificate: whether it has come, the store decides', async () => {
    const { ledger: counted, asked } = counting(ledger)
    const adapter = await newAdapter({ ledger: counted, settings: { revocation: 'none' } })
    const handle = handleOf(signingOf(adapter))
    expect(adapter.guarantees).toEqual({ nativeExpiry: 'exact', revocation: 'expiry-only' })
    expect(await adapter.revoke([handle], callFor())).toEqual([
      { access: 'expiring', endsAt: new Date(handle.expiresAt) },
    ])
    const over = { ...handle, expiresAt: inSeconds(-1).toISOString() }
    expect(await adapter.revoke([over], callFor())).toEqual([
      { access: 'expiring', endsAt: new Date(over.expiresAt) },
    ])
    await adapter.check(callFor())
    expect(Object.values(asked)).toEqual([0, 0, 0, 0, 0])
  })

  test('there is no list, and nobody is told of one', async () => {
    const adapter = await newAdapter({ settings: { revocation: 'none' } })
    expect(adapter.verification?.authorities).toMatchObject([{ signs: true, lists: false }])
    await expect(listOf(adapter)).rejects.toThrow('there is no list of this authority')
    expect(await adapter.verification?.ocsp(Buffer.from('3000', 'hex'))).toBeUndefined()
  })

  test('another resource with the same authority lists its own all the same', async () => {
    const ca = makeIdentity({ name: 'shared' })
    const none = await newAdapter({ ca, settings: { revocation: 'none' } })
    const listed = await newAdapter({ ca, resource: 'other' })
    const handles = [handleOf(signingOf(none)), handleOf(signingOf(listed))] as const
    expect(await none.revoke([handles[0]], callFor())).toMatchObject([{ access: 'expiring' }])
    expect(await listed.revoke([handles[1]], callFor())).toEqual([ENDED])
    expect((await listOf(listed)).serials).toEqual(new Set([handles[1].serial]))
  })
})

test('pruning forgets what has expired for twice the life of a list, and nothing else', async () => {
  const adapter = await newAdapter({ settings: { crlSeconds: 60 } })
  const authority = signingOf(adapter)
  const ages = { '01': -3600, '02': -121, '03': -60, '04': -1, '05': 600 }
  const entries = Object.entries(ages).map(([serial, age]) => ({ serial, expiresAt: inSeconds(age) }))
  const client = await connect(store.url)
  await ledger.withdraw(authority, [{ serial: '06', expiresAt: inSeconds(600) }])
  for (const { serial, expiresAt } of entries)
    await client.query('insert into taskgrant.withdrawn_serials values ($1, $2, now(), $3)', [
      authority,
      serial,
      expiresAt,
    ])
  await client.end()
  await adapter.prune?.('abcd1234', callFor())
  const left = (await ledger.list(authority, new Date(0))).entries.map(({ serial }) => serial)
  expect(left.toSorted()).toEqual(['03', '04', '05', '06'])
})
