import { afterEach, describe, expect, it } from 'vitest'
import type { Adapter, Revoked } from '../../broker/adapter.ts'
import type { PolicyDocument } from '../../broker/dev/aws/policy-document.ts'
import { allow } from '../unit/aws-emulator-steps.ts'
import {
  call,
  CONTENT,
  countOf,
  DENIED,
  denialsOf,
  ENDED,
  errorOf,
  MINUTE,
  roleNamed,
  SPREAD,
  startAws,
  STORE,
  type AwsFixture,
  type IssuedSession,
} from './aws-sts-steps.ts'

/** AWS's quota for all inline policies of a role. */
const QUOTA = 10_240

let fixture: AwsFixture
afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

/** A policy of somebody else that leaves so many characters. */
function filler(room: number): PolicyDocument {
  const base = JSON.stringify(roleNamed('reader').policies['base']).length
  const empty = JSON.stringify(allow('s3:ListBucket', ['arn:aws:s3:::']))
  return allow('s3:ListBucket', [`arn:aws:s3:::${'x'.repeat(QUOTA - room - base - empty.length)}`])
}

async function startFull(room: number): Promise<AwsFixture> {
  const role = roleNamed('reader')
  return startAws({ roles: [{ ...role, policies: { ...role.policies, filler: filler(room) } }] })
}

const used = (): number =>
  [...fixture.aws.rolePolicies('reader').values()].reduce((sum, text) => sum + text.length, 0)
const issueMany = (adapter: Adapter, count: number): Promise<IssuedSession[]> =>
  Promise.all(Array.from({ length: count }, () => fixture.issue(adapter)))
const revokeAll = (adapter: Adapter, sessions: readonly IssuedSession[]): Promise<readonly Revoked[]> =>
  adapter.revoke(
    sessions.map(({ handle }) => handle),
    call(),
  )
const isEnded = ({ access }: Revoked): boolean => access === 'ended'

describe('a full role, where withdrawals are refused', () => {
  it('says what to do, denies nobody else, and goes on when there is room', async () => {
    fixture = await startFull(100)
    const adapter = fixture.adapter()
    const [session, neighbour] = [await fixture.issue(adapter), await fixture.issue(adapter)]
    const [outcome] = await revokeAll(adapter, [session])
    expect(outcome).toMatchObject({ access: 'open', error: { failure: 'failed', settled: true } })
    expect(errorOf(outcome)).toMatch(/role reader has no room .*10,240 .*deny-older/)
    expect(await fixture.read(session.credential)).toBe(CONTENT)
    expect(await fixture.read(neighbour.credential)).toBe(CONTENT)
    expect(denialsOf(fixture)).toEqual([])
    fixture.advance(10 * MINUTE)
    expect(await revokeAll(adapter, [session])).toEqual([ENDED])
  })

  it('denies as many of a batch as there is room for', async () => {
    fixture = await startFull(1_000)
    const adapter = fixture.adapter()
    const sessions = await issueMany(adapter, 120)
    const outcomes = await revokeAll(adapter, sessions)
    const ended = outcomes.filter(isEnded).length
    expect(ended).toBeGreaterThanOrEqual(30)
    expect(QUOTA - used()).toBeLessThan(148)
    for (const [index, { credential }] of sessions.entries()) {
      const expected = outcomes[index]?.access === 'ended' ? DENIED : CONTENT
      expect(await fixture.read(credential)).toBe(expected)
    }
    expect(countOf(fixture, 'PutRolePolicy')).toBeLessThan(25)
  })

  it('makes room by what has ended', async () => {
    fixture = await startFull(300)
    const adapter = fixture.adapter()
    const short = await fixture.issue(adapter, fixture.requestFor(120))
    const long = await fixture.issue(adapter, fixture.requestFor(900))
    expect(await revokeAll(adapter, [short])).toEqual([ENDED])
    expect(await revokeAll(adapter, await issueMany(adapter, 1))).toEqual([ENDED])
    expect((await revokeAll(adapter, [long])).filter(isEnded)).toEqual([])
    fixture.advance(3 * MINUTE + 1_000)
    expect(await revokeAll(adapter, [long])).toEqual([ENDED])
    expect(await fixture.read(long.credential)).toBe(DENIED)
  })
})

describe('a full role, where older sessions are denied together', () => {
  const olders = (): string[] => denialsOf(fixture).filter((name) => name.endsWith('-older'))

  it('ends these sessions and their neighbours, and not those that are opened afterwards', async () => {
    fixture = await startFull(400)
    const adapter = fixture.adapter({ whenFull: 'deny-older' })
    await adapter.prune?.(STORE, call())
    const sessions = await issueMany(adapter, 20)
    const neighbour = await fixture.issue(adapter)
    expect(await revokeAll(adapter, sessions)).toEqual(sessions.map(() => ENDED))
    expect(olders()).toHaveLength(1)
    for (const { credential } of [...sessions, neighbour]) expect(await fixture.read(credential)).toBe(DENIED)
    fixture.advance(4_000)
    const later = await fixture.issue(adapter)
    expect(await fixture.read(later.credential)).toBe(CONTENT)
  })

  it('has kept room for that, which nothing else takes', async () => {
    fixture = await startFull(600)
    const adapter = fixture.adapter({ whenFull: 'deny-older' })
    await adapter.prune?.(STORE, call())
    for (let count = 0; count < 4 && olders().length === 0; count += 1) {
      expect(await revokeAll(adapter, await issueMany(adapter, 1))).toEqual([ENDED])
    }
    expect(olders()).toHaveLength(1)
    expect(denialsOf(fixture)).not.toContain('taskgrant-abcd1234-reserve')
  })

  it('has room again when that denial has spread', async () => {
    fixture = await startFull(600)
    const adapter = fixture.adapter({ whenFull: 'deny-older' })
    await adapter.prune?.(STORE, call())
    const denied: IssuedSession[] = []
    while (olders().length === 0) {
      const sessions = await issueMany(adapter, 1)
      await revokeAll(adapter, sessions)
      denied.push(...sessions)
    }
    fixture.advance(SPREAD + 45_000)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture).toSorted()).toEqual([...olders(), 'taskgrant-abcd1234-reserve'].toSorted())
    for (const { credential } of denied) expect(await fixture.read(credential)).toBe(DENIED)
    const sessions = await issueMany(adapter, 2)
    expect(await revokeAll(adapter, sessions.slice(0, 1))).toEqual([ENDED])
    expect(olders()).toHaveLength(1)
    expect(sessions[1] && (await fixture.read(sessions[1].credential))).toBe(CONTENT)
    // AWS's longest session, opened just before, has not ended yet.
    fixture.advance(12 * 60 * MINUTE - 3 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(olders()).toHaveLength(1)
    fixture.advance(5 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual(['taskgrant-abcd1234-reserve'])
  })

  it('takes sessions from before such a denial for denied', async () => {
    fixture = await startFull(400)
    const adapter = fixture.adapter({ whenFull: 'deny-older' })
    await adapter.prune?.(STORE, call())
    const sessions = await issueMany(adapter, 21)
    expect(await revokeAll(adapter, sessions.slice(0, 20))).toEqual(sessions.slice(0, 20).map(() => ENDED))
    fixture.aws.failNext('PutRolePolicy', { status: 409, code: 'LimitExceeded', message: 'full' })
    const before = countOf(fixture, 'PutRolePolicy')
    expect(await revokeAll(adapter, sessions.slice(20))).toEqual([ENDED])
    expect(olders()).toHaveLength(1)
    expect(countOf(fixture, 'PutRolePolicy') - before).toBe(2)
    expect(sessions[20] && (await fixture.read(sessions[20].credential))).toBe(DENIED)
  })

  it('refuses if there is no room for that either', async () => {
    fixture = await startFull(100)
    const adapter = fixture.adapter({ whenFull: 'deny-older' })
    await adapter.prune?.(STORE, call())
    const [session] = await issueMany(adapter, 1)
    const outcomes = session === undefined ? [] : await revokeAll(adapter, [session])
    expect(outcomes).toMatchObject([{ access: 'open', error: { failure: 'failed' } }])
  })

  it('gives its reserve up when it is told to refuse', async () => {
    fixture = await startFull(400)
    await fixture.adapter({ whenFull: 'deny-older' }).prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual(['taskgrant-abcd1234-reserve'])
    await fixture.adapter().prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual([])
  })

  it('does so with two brokers at the same time', async () => {
    fixture = await startFull(500)
    const brokers = [fixture.adapter({ whenFull: 'deny-older' }), fixture.adapter({ whenFull: 'deny-older' })]
    await Promise.all(brokers.map(async (broker) => broker.prune?.(STORE, call())))
    const halves = await Promise.all(brokers.map((broker) => issueMany(broker, 20)))
    const outcomes = await Promise.all(brokers.map((broker, index) => revokeAll(broker, halves[index] ?? [])))
    for (const [index, half] of halves.entries()) {
      for (const [position, { credential }] of half.entries()) {
        if (outcomes[index]?.[position]?.access === 'ended')
          expect(await fixture.read(credential)).toBe(DENIED)
      }
    }
    expect(outcomes.flat().some(isEnded)).toBe(true)
  })
})

describe('what a role has room for', () => {
  it('is over 400 live denials, withdrawn in batches', async () => {
    fixture = await startAws()
    const adapter = fixture.adapter()
    const outcomes: Revoked[] = []
    while (outcomes.every(isEnded)) {
      outcomes.push(...(await revokeAll(adapter, await issueMany(adapter, 50))))
    }
    expect(outcomes.filter(isEnded).length).toBeGreaterThan(400)
    expect(QUOTA - used()).toBeLessThan(148)
  })

  it('is over 50 live denials, withdrawn one by one in no time', async () => {
    fixture = await startAws()
    const adapter = fixture.adapter()
    const outcomes: Revoked[] = []
    while (outcomes.every(isEnded)) outcomes.push(...(await revokeAll(adapter, await issueMany(adapter, 1))))
    expect(outcomes.filter(isEnded).length).toBeGreaterThan(50)
  })

  it('is enough for ten a minute, one by one, 15 minutes before they end, for as long as one likes', async () => {
    fixture = await startAws()
    const adapter = fixture.adapter()
    for (let count = 0; count < 350; count += 1) {
      const session = await fixture.issue(adapter, fixture.requestFor(900))
      expect(await revokeAll(adapter, [session])).toEqual([ENDED])
      fixture.advance(6_000)
    }
    expect(countOf(fixture, 'DeleteRolePolicy')).toBeGreaterThan(200)
  })
})
