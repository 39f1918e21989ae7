import { describe, expect, it } from 'vitest'
import { olderDenial, parseDenial, sessionsDenial } from '../../adapters/aws-sts/denial-name.ts'
import { MAX_SESSIONS, planUpkeep, type Document } from '../../adapters/aws-sts/plan-upkeep.ts'
import { documentOf, mergedSize, simulate } from './aws-sts-simulation.ts'

const STORE = 'abcd1234'
const REPLACE_AFTER = 80
const NOW = 1_780_000_000
/** What was made then has stood long enough by now. */
const SETTLED = NOW - REPLACE_AFTER

const tail = (number: number): string => number.toString(16).padStart(16, '0')
const doc = (sessions: readonly number[], created: number, until = NOW + 600): Document =>
  documentOf(STORE, sessions.map(tail), created, until)
const older = (before: number): Document => ({
  ...olderDenial(STORE, before, before + 43_200),
  tails: undefined,
})
const plan = (documents: readonly Document[], now = NOW) => planUpkeep(documents, now, REPLACE_AFTER)
const removed = (documents: readonly Document[], now = NOW): Document[] => {
  const names = plan(documents, now).remove.map(({ name }) => name)
  return documents.filter(({ name }) => names.includes(name))
}

describe('which denials may go', () => {
  it('those of sessions that have all ended, a minute later', () => {
    const document = doc([1], NOW - 500, NOW)
    expect(removed([document], NOW + 59)).toEqual([])
    expect(removed([document], NOW + 60)).toEqual([document])
  })

  it('those whose sessions are all in a later one that has stood long enough', () => {
    const [part, whole] = [doc([1, 2], NOW - 190), doc([1, 2, 3], SETTLED)]
    expect(removed([part, whole])).toEqual([part])
    expect(removed([part, whole], NOW - 1)).toEqual([])
  })

  it('those whose sessions are in several later ones together', () => {
    const [part, one, other] = [doc([1, 2], NOW - 190), doc([1, 3], NOW - 170), doc([2, 4], SETTLED)]
    expect(removed([part, one, other])).toEqual([part])
    expect(removed([part, one])).toEqual([])
  })

  it('never both of two that deny the same', () => {
    const twins = [doc([1, 2], NOW - 190), doc([1, 2], NOW - 180)]
    expect(removed(twins)).toEqual([twins[0]])
    const sameSecond = [doc([1, 2], NOW - 90, NOW + 600), doc([1, 2], NOW - 90, NOW + 601)]
    expect(removed(sameSecond)).toHaveLength(1)
    expect(removed(sameSecond.toReversed())).toEqual(removed(sameSecond))
  })

  it('none whose text is not ours, before its time', () => {
    const foreign = { ...doc([1], NOW - 900), tails: undefined }
    expect(removed([foreign, doc([1], NOW - 90)])).toEqual([])
    expect(removed([foreign], NOW + 660)).toEqual([foreign])
  })

  it('those from before a denial of all older sessions that has stood long enough', () => {
    const before = SETTLED
    const [early, late] = [doc([1], before - 100), doc([2], before + 1)]
    expect(removed([early, late, older(before)])).toEqual([early])
    expect(removed([early, late, older(before)], NOW - 1)).toEqual([])
  })

  it('not those from just before it: what was in flight then may have come after it', () => {
    const before = SETTLED
    const young = doc([1], before - 10)
    expect(removed([young, older(before)])).toEqual([])
    expect(removed([young, older(before)], before - 10 + 120)).toEqual([young])
    const sameTime = doc([2], before - 2)
    expect(removed([sameTime, older(before)], NOW + 500)).toEqual([])
  })

  it('of denials of all older sessions, all but the last that has stood long enough', () => {
    const [first, second, third] = [older(NOW - 300), older(NOW - 100), older(NOW - 10)]
    expect(removed([first, second, third])).toEqual([first])
  })
})

describe('which denials become one', () => {
  it('many small ones that end in the same quarter of an hour, and it denies what they deny', () => {
    const documents = Array.from({ length: 9 }, (_, index) => doc([index], NOW - index))
    const { add, remove } = plan(documents)
    expect(remove).toEqual([])
    expect(add).toHaveLength(1)
    expect(add[0]?.tails).toEqual(documents.flatMap(({ tails }) => [...(tails ?? [])]))
    expect(add[0]?.createdFrom).toBe(NOW + 1)
    const merged = documentOf(STORE, add[0]?.tails ?? [], NOW + 1, NOW + 600)
    expect(plan([...documents, merged])).toEqual({ remove: [], add: [] })
  })

  it('not a few', () => {
    expect(plan(Array.from({ length: 8 }, (_, index) => doc([index], NOW))).add).toEqual([])
  })

  it('not those that end at different times: nobody is denied for ever', () => {
    const documents = Array.from({ length: 12 }, (_, index) => doc([index], NOW, NOW + index * 900))
    expect(plan(documents).add).toEqual([])
    const merged = plan([
      ...documents,
      ...documents.map((one, index) => doc([100 + index], NOW, one.until + 5)),
    ])
    expect(merged.add.map(({ until }) => until)).toEqual(documents.map(({ until }) => until + 5))
  })

  it('not more than a document may hold', () => {
    const documents = Array.from({ length: 30 }, (_, index) =>
      doc(
        Array.from({ length: 10 }, (__, session) => index * 10 + session),
        NOW,
      ),
    )
    const { add } = plan(documents)
    expect(add.map(({ tails }) => tails.length)).toEqual([100, 100, 100])
    expect(MAX_SESSIONS).toBe(100)
  })

  it('not those that a denial of all older sessions is about to replace', () => {
    const documents = Array.from({ length: 20 }, (_, index) => doc([index], NOW - 20))
    expect(plan([...documents, older(NOW)]).add).toEqual([])
  })

  it('as few times as needed: each session is written about four times until its document is full', () => {
    expect(mergedSize(STORE, 96)).toBeLessThan(96 * 4)
  })
})

describe('brokers that look after one role at the same time', () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))(
    'never leave a session without a denial that has spread (%i)',
    (seed) => {
      const { steps, maxDocuments } = simulate(STORE, seed)
      expect(steps).toBeGreaterThan(300)
      expect(maxDocuments).toBeGreaterThan(8)
    },
  )
})

describe('names of denials', () => {
  it('tell what they were made from', () => {
    const denial = sessionsDenial(STORE, NOW, NOW + 900, '{}')
    expect(denial.name).toMatch(/^taskgrant-abcd1234-[0-9a-z]+-[0-9a-z]+-[0-9a-f]{10}$/)
    expect(parseDenial(STORE, denial.name)).toEqual(denial)
    const all = olderDenial(STORE, NOW, NOW + 43_200)
    expect(parseDenial(STORE, all.name)).toEqual(all)
    expect(all.name.length).toBeLessThanOrEqual(128)
  })

  it.each([
    'AWSRevokeOlderSessions',
    'taskgrant-abcd1234-reserve',
    'taskgrant-abcd1234-t6w8g0-t6w9g0-ABCDEF0123',
    'taskgrant-abcd1234-t6w8g0-t6w9g0-abcdef01234',
    'taskgrant-abcd1234-t6w8g0-abcdef0123',
    'taskgrant-wxyz5678-t6w8g0-t6w9g0-abcdef0123',
    'x-taskgrant-abcd1234-t6w8g0-t6w9g0-abcdef0123',
    'taskgrant-abcd1234-t6w8g0-t6w9g0-abcdef0123-x',
  ])('of others are not ours: %s', (name) => {
    expect(parseDenial(STORE, name)).toBeUndefined()
  })
})
