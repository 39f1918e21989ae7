import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { signCrl } from '../../adapters/x509/crl.ts'
import { encoded, integerFromHex, sequence, time } from '../../adapters/x509/der.ts'
import { randomSerial } from '../../adapters/x509/serial.ts'
import { signerOf } from '../../adapters/x509/signature.ts'
import type { Ledger } from '../../broker/adapter.ts'
import { makeIdentity, type TestIdentity } from '../support/certificates.ts'
import { freshLedger, type FreshLedger } from '../support/ledger.ts'
import { readCrl, type ReadCrl } from '../support/read-crl.ts'
import { seededRandom } from '../support/mutation.ts'
import { caFrom, counting, currentList, inSeconds, serviceOf } from './x509-steps.ts'

let store: FreshLedger
let ledger: Ledger
let identity: TestIdentity
let authority: string

beforeAll(async () => {
  store = await freshLedger()
  ledger = store.ledger
})
afterAll(() => store[Symbol.asyncDispose]())
beforeEach(() => {
  identity = makeIdentity({ name: 'authority' })
  authority = caFrom(identity).id
})

/** Withdraws this many certificates, and answers their serials. */
async function withdraw(count: number, expiresAt = inSeconds(600)): Promise<string[]> {
  const serials = Array.from({ length: count }, randomSerial)
  await ledger.withdraw(
    authority,
    serials.map((serial) => ({ serial, expiresAt })),
  )
  return serials
}

describe('a list', () => {
  test('is signed by its authority, starts 10 s before it was taken, and lives as long as is configured', async () => {
    const [serial = ''] = await withdraw(1)
    const found = await serviceOf(ledger, identity, { lifetimeSeconds: 90 }).current()
    const list = readCrl(found.der)
    expect(list.isSignedBy(identity.certificate)).toBe(true)
    expect(list.isSignedBy(makeIdentity({ name: 'authority' }).certificate)).toBe(false)
    expect([...list.serials]).toEqual([serial])
    expect(list.nextUpdate).toEqual(found.nextUpdate)
    const livesMs = list.nextUpdate.getTime() - list.thisUpdate.getTime()
    // Both are rounded to whole seconds, away from each other.
    expect([100_000, 101_000]).toContain(livesMs)
  })

  test('of nothing has no entries at all, not an empty sequence of them', async () => {
    expect((await currentList(serviceOf(ledger, identity))).entries).toBeUndefined()
  })

  test('says when each was withdrawn, and a second withdrawal does not change it', async () => {
    const [serial = ''] = await withdraw(1)
    const before = await currentList(serviceOf(ledger, identity))
    await ledger.withdraw(authority, [{ serial, expiresAt: inSeconds(900) }])
    const after = await currentList(serviceOf(ledger, identity))
    expect(after.entries).toEqual(before.entries)
  })

  test.each(['80', 'ff', '7f', '0a', 'ff'.repeat(19), `7f${'ff'.repeat(19)}`])(
    'names the serial %s as certificates do',
    async (serial) => {
      await ledger.withdraw(authority, [{ serial, expiresAt: inSeconds(600) }])
      expect([...(await currentList(serviceOf(ledger, identity))).serials]).toEqual([serial])
    },
  )
})

describe('of two services on one ledger', () => {
  test('lists with a larger number never lack what those with a smaller one have', async () => {
    const services = [serviceOf(ledger, identity), serviceOf(ledger, identity)]
    const random = seededRandom(1)
    const lists: ReadCrl[] = []
    const acknowledged: string[] = []
    for (let round = 0; round < 40; round += 1) {
      const known = [...acknowledged]
      await Promise.all(
        [0, 1, 2, 3, 4, 5].map(async (step) => {
          const service = services[step % 2]
          if (random(3) === 0) acknowledged.push(...(await withdraw(1 + random(5))))
          service?.invalidate()
          if (service !== undefined) lists.push(await currentList(service))
        }),
      )
      for (const service of services) {
        service.invalidate()
        const { serials } = await currentList(service)
        expect(known.filter((serial) => !serials.has(serial))).toEqual([])
      }
    }
    const byNumber = new Map(lists.map((list) => [list.number, list]))
    const ordered = [...byNumber.values()].toSorted((a, b) => a.number - b.number)
    expect(ordered.length).toBeGreaterThan(40)
    for (const [index, list] of ordered.slice(1).entries())
      expect([...(ordered[index]?.serials ?? [])].filter((serial) => !list.serials.has(serial))).toEqual([])
    for (const list of lists) expect(list.serials).toEqual(byNumber.get(list.number)?.serials)
  })

  test('each gives lists whose numbers only grow', async () => {
    const service = serviceOf(ledger, identity)
    const numbers: number[] = []
    for (let round = 0; round < 30; round += 1) {
      await withdraw(1)
      service.invalidate()
      const asking = [0, 1, 2].map(async () => {
        numbers.push((await currentList(service)).number)
        service.invalidate()
      })
      await Promise.all(asking)
    }
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
    expect(new Set(numbers).size).toBeGreaterThanOrEqual(30)
  })

  test('the second is current soon after the first has withdrawn something', async () => {
    const second = serviceOf(ledger, identity)
    expect((await currentList(second)).serials.size).toBe(0)
    const [serial = ''] = await withdraw(1)
    await expect.poll(async () => (await currentList(second)).serials.has(serial)).toBe(true)
  })
})

describe('by the clock', () => {
  let now: number
  const clock = (): number => now
  beforeEach(() => {
    now = Date.now()
  })

  test('a list is served from memory for 400 ms, and then as long as nothing is withdrawn', async () => {
    const { ledger: counted, asked } = counting(ledger)
    const service = serviceOf(counted, identity, { clock })
    const first = await service.current()
    expect(asked).toMatchObject({ changes: 1, list: 1 })
    now += 399
    expect(await service.current()).toBe(first)
    expect(asked).toMatchObject({ changes: 1, list: 1 })
    now += 1
    expect(await service.current()).toBe(first)
    expect(asked).toMatchObject({ changes: 2, list: 1 })
    await withdraw(1)
    now += 400
    expect(await service.current()).not.toBe(first)
    expect(asked).toMatchObject({ changes: 3, list: 2 })
  })

  test('a list is signed again when half of its life is over', async () => {
    const service = serviceOf(ledger, identity, { clock, lifetimeSeconds: 3600 })
    const first = await currentList(service)
    now += 1_799_999
    expect((await currentList(service)).number).toBe(first.number)
    now += 1
    expect((await currentList(service)).number).toBe(first.number + 1)
  })

  test('a withdrawal of this process is on the list at once', async () => {
    const service = serviceOf(ledger, identity, { clock })
    await service.current()
    const [serial = ''] = await withdraw(1)
    service.invalidate()
    expect((await currentList(service)).serials.has(serial)).toBe(true)
  })

  test('what has expired stays on one more list, and then leaves', async () => {
    const [short = ''] = await withdraw(1, inSeconds(60))
    const [long = ''] = await withdraw(1, inSeconds(100_000))
    const service = serviceOf(ledger, identity, { clock, lifetimeSeconds: 3600 })
    const expiry = now + 60_000
    for (now of [expiry, expiry + 3_500_000])
      expect((await currentList(service)).serials).toEqual(new Set([short, long]))
    now = expiry + 5_400_000
    expect((await currentList(service)).serials).toEqual(new Set([long]))
  })

  test('what has left is not encoded any more, and what is left is signed as before', async () => {
    await withdraw(3, inSeconds(60))
    const rest = await withdraw(3, inSeconds(100_000))
    const service = serviceOf(ledger, identity, { clock, lifetimeSeconds: 600 })
    expect((await currentList(service)).serials.size).toBe(6)
    now += 700_000
    const later = await currentList(service)
    expect(later.serials).toEqual(new Set(rest))
    expect(later.isSignedBy(identity.certificate)).toBe(true)
  })
})

describe('while the ledger is being asked', () => {
  /** A ledger whose answers about changes wait until they are let go. */
  function held(): { ledger: Ledger; letGo: () => void; asked: () => number } {
    const waiting: (() => void)[] = []
    let asked = 0
    const changes = async (id: string): Promise<number> => {
      const answer = await ledger.changes(id)
      asked += 1
      await new Promise<void>((resolve) => waiting.push(resolve))
      return answer
    }
    return {
      ledger: { ...ledger, changes },
      letGo: () => waiting.splice(0).forEach((go) => go()),
      asked: () => asked,
    }
  }

  test('a withdrawal is on every list that is asked for after it', async () => {
    const slow = held()
    const service = serviceOf(slow.ledger, identity)
    const before = service.current()
    await expect.poll(slow.asked).toBe(1)
    const [serial = ''] = await withdraw(1)
    service.invalidate()
    const after = Promise.all([service.current(), service.current(), service.current()])
    slow.letGo()
    await before
    await expect.poll(slow.asked).toBe(2)
    slow.letGo()
    const lists = (await after).map(({ der }) => readCrl(der))
    expect(lists.map(({ serials }) => serials.has(serial))).toEqual([true, true, true])
    expect(new Set(lists.map(({ number }) => number)).size).toBe(1)
  })

  test('all who ask meanwhile share one answer', async () => {
    const slow = held()
    const service = serviceOf(slow.ledger, identity)
    const answers = Array.from({ length: 50 }, () => service.current())
    await expect.poll(slow.asked).toBe(1)
    slow.letGo()
    expect(new Set(await Promise.all(answers)).size).toBe(1)
    expect(slow.asked()).toBe(1)
  })

  test('a failure is told to all who wait, and the next one asks again', async () => {
    let fails = true
    const service = serviceOf(
      {
        ...ledger,
        changes: async (id) => {
          if (fails) throw new Error('away')
          return ledger.changes(id)
        },
      },
      identity,
    )
    const answers = await Promise.allSettled([service.current(), service.current()])
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    fails = false
    service.invalidate()
    await expect(service.current()).resolves.toBeDefined()
  })
})

test('a list of 50,000 is right, and signing it again encodes only what is new', async () => {
  const serials = await withdraw(50_000)
  const first = await currentList(serviceOf(ledger, identity))
  expect(first.serials).toEqual(new Set(serials))
  expect(first.isSignedBy(identity.certificate)).toBe(true)

  const ca = caFrom(identity)
  const signer = signerOf(identity.privateKey)
  const taken = await ledger.list(authority, new Date())
  const cache = new Map<string, string>()
  signCrl(ca, signer, taken, 600, cache)
  // Whoever encodes anew does not see this.
  const [known = ''] = serials
  cache.set(known, encoded(sequence(integerFromHex('1234'), time(new Date()))))
  const [added = ''] = await withdraw(1)
  const again = readCrl(signCrl(ca, signer, await ledger.list(authority, new Date()), 600, cache).der)
  expect(again.serials).toEqual(new Set([...serials.slice(1), '1234', added]))
  expect(cache.size).toBe(50_001)
  signCrl(ca, signer, { ...taken, entries: taken.entries.slice(0, 10) }, 600, cache)
  expect(cache.size).toBe(10)
})
