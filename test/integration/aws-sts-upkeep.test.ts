import { PutRolePolicyCommand } from '@aws-sdk/client-iam'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import type { RoleOptions } from '../../broker/dev/aws/options.ts'
import { iam } from '../unit/aws-emulator-steps.ts'
import {
  afterEveryCall,
  call,
  CONTENT,
  countOf,
  DENIED,
  denialsOf,
  ENDED,
  MINUTE,
  OTHER_STORE,
  roleNamed,
  SPREAD,
  startAws,
  STORE,
  type AwsFixture,
  type IssuedSession,
} from './aws-sts-steps.ts'

let fixture: AwsFixture
beforeEach(async () => {
  fixture = await startAws()
})
afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

async function denyOneByOne(adapter: Adapter, count: number): Promise<IssuedSession[]> {
  const sessions: IssuedSession[] = []
  for (let session = 0; session < count; session += 1) {
    const issued = await fixture.issue(adapter)
    sessions.push(issued)
    expect(await adapter.revoke([issued.handle], call())).toEqual([ENDED])
  }
  return sessions
}

const deniesTail = (name: string): boolean =>
  [...fixture.aws.rolePolicies('reader').values()].some((text) => text.includes(name.slice(-16)))

describe('pruning', () => {
  it('removes denials of sessions that have ended, a minute later', async () => {
    const adapter = fixture.adapter()
    const [session] = await denyOneByOne(adapter, 1)
    fixture.advance(10 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture)).toHaveLength(1)
    fixture.advance(MINUTE + 1_000)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual([])
    expect(session && (await fixture.read(session.credential))).toBe(DENIED)
  })

  it('finds them among many policies of others', async () => {
    const others = Array.from({ length: 105 }, (_, index) => [
      `other-${index}`,
      { Statement: { Effect: 'Deny', Action: 'a:b', Resource: '*' } } as const,
    ])
    const role = roleNamed('reader', { policies: Object.fromEntries(others) as RoleOptions['policies'] })
    await using crowded = await startAws({ roles: [role] })
    const adapter = crowded.adapter()
    const { handle } = await crowded.issue(adapter)
    expect(await adapter.revoke([handle], call())).toEqual([ENDED])
    crowded.advance(12 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(countOf(crowded, 'ListRolePolicies')).toBe(2)
    expect(denialsOf(crowded)).toEqual([])
  })

  it('leaves those of another store to its brokers', async () => {
    const adapter = fixture.adapter()
    const { handle } = await fixture.issue(adapter, fixture.request({ storeId: OTHER_STORE }))
    await adapter.revoke([handle], call())
    fixture.advance(60 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture, 'reader', OTHER_STORE)).toHaveLength(1)
    await adapter.prune?.(OTHER_STORE, call())
    expect(denialsOf(fixture, 'reader', OTHER_STORE)).toEqual([])
  })

  it('keeps what is not ours under a name of ours until its time', async () => {
    const adapter = fixture.adapter()
    await denyOneByOne(adapter, 1)
    const [PolicyName = ''] = denialsOf(fixture)
    const PolicyDocument = JSON.stringify({ Statement: { Effect: 'Deny', Action: '*', Resource: '*' } })
    const RoleName = 'reader'
    await iam(fixture.world).send(new PutRolePolicyCommand({ RoleName, PolicyName, PolicyDocument }))
    const other = fixture.adapter()
    await denyOneByOne(other, 12)
    fixture.advance(SPREAD)
    await other.prune?.(STORE, call())
    expect(fixture.aws.rolePolicies(RoleName).get(PolicyName)).toBe(PolicyDocument)
    fixture.advance(12 * MINUTE)
    await other.prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual([])
  })

  it('fails if IAM does, and does the rest all the same', async () => {
    const adapter = fixture.adapter({ maxAttempts: 1 })
    await denyOneByOne(adapter, 3)
    fixture.advance(12 * MINUTE)
    fixture.aws.failNext('DeleteRolePolicy', 'unavailable')
    await expect(adapter.prune?.(STORE, call())).rejects.toMatchObject({ failure: 'unavailable' })
    expect(denialsOf(fixture)).toHaveLength(1)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual([])
  })
})

describe('many denials', () => {
  it('become few, and at every moment each session is denied', async () => {
    const adapter = fixture.adapter()
    const denied: string[] = []
    afterEveryCall(fixture, () => {
      for (const name of denied) expect(deniesTail(name)).toBe(true)
    })
    const sessions: IssuedSession[] = []
    for (let session = 0; session < 40; session += 1) {
      const issued = await fixture.issue(adapter)
      await adapter.revoke([issued.handle], call())
      denied.push(String(issued.handle['sessionName']))
      sessions.push(issued)
    }
    for (let pass = 0; pass < 4; pass += 1) {
      fixture.advance(SPREAD)
      await adapter.prune?.(STORE, call())
    }
    expect(denialsOf(fixture).length).toBeLessThanOrEqual(8)
    const neighbour = await fixture.issue(adapter)
    for (const { credential } of sessions) expect(await fixture.read(credential)).toBe(DENIED)
    expect(await fixture.read(neighbour.credential)).toBe(CONTENT)
  })

  it('are not removed before what denies the same has had time to spread', async () => {
    const adapter = fixture.adapter()
    await denyOneByOne(adapter, 12)
    // However old the parts are, the whole is new.
    fixture.advance(5 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture)).toHaveLength(13)
    await adapter.prune?.(STORE, call())
    expect(countOf(fixture, 'DeleteRolePolicy')).toBe(0)
    fixture.advance(SPREAD - 5_000)
    await adapter.prune?.(STORE, call())
    expect(countOf(fixture, 'DeleteRolePolicy')).toBe(0)
    fixture.advance(10_000)
    await adapter.prune?.(STORE, call())
    expect(countOf(fixture, 'DeleteRolePolicy')).toBeGreaterThanOrEqual(9)
  })

  it('are read once: their documents never change', async () => {
    const [one, other] = [fixture.adapter(), fixture.adapter()]
    await denyOneByOne(one, 5)
    await other.prune?.(STORE, call())
    await other.prune?.(STORE, call())
    await one.prune?.(STORE, call())
    expect(countOf(fixture, 'GetRolePolicy')).toBe(5)
  })
})

describe('two brokers on one role', () => {
  it.each([1, 2, 3])('withdraw and prune at the same time, and lose nothing (%i)', async (round) => {
    const brokers = [fixture.adapter({ maxAttempts: 2 }), fixture.adapter({ maxAttempts: 2 })] as const
    const denied = new Map<string, IssuedSession>()
    afterEveryCall(fixture, (action) => {
      if (!action.endsWith('RolePolicy')) return
      for (const [name, { expiresAt }] of denied) {
        if ((expiresAt?.getTime() ?? 0) > fixture.now()) expect(deniesTail(name), name).toBe(true)
      }
    })
    for (let step = 0; step < 40; step += 1) {
      const [one, other] = brokers
      const ttl = 60 + ((step * 37 * round) % 840)
      const sessions = await Promise.all(
        Array.from({ length: 1 + (step % 3) }, () => fixture.issue(one, fixture.requestFor(ttl))),
      )
      const handles = sessions.map(({ handle }) => handle)
      if (step % 7 === 0) fixture.aws.failNext('DeleteRolePolicy', 'lostAnswer')
      if (step % 11 === 0) fixture.aws.failNext('PutRolePolicy', 'lostAnswer')
      const [outcomes] = await Promise.all([
        one.revoke(handles, call()),
        step % 2 === 0 ? other.revoke(handles, call()) : other.prune?.(STORE, call()),
        step % 3 === 0 ? one.prune?.(STORE, call()) : undefined,
      ])
      expect(outcomes).toEqual(handles.map(() => ENDED))
      for (const session of sessions) denied.set(String(session.handle['sessionName']), session)
      fixture.advance(((step * 7919 * round) % 45) * 1_000)
    }
    for (const { credential } of denied.values()) {
      expect([DENIED, '400 ExpiredToken']).toContain(await fixture.read(credential))
    }
    expect(countOf(fixture, 'DeleteRolePolicy')).toBeGreaterThan(20)
    fixture.advance(20 * MINUTE)
    await brokers[0].prune?.(STORE, call())
    expect(denialsOf(fixture)).toEqual([])
  })
})
