import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../broker/json.ts'
import { allow, arnOf } from '../unit/aws-emulator-steps.ts'
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
  startAws,
  STORE,
  type AwsFixture,
} from './aws-sts-steps.ts'

let fixture: AwsFixture
beforeEach(async () => {
  fixture = await startAws({ roles: [roleNamed('reader'), roleNamed('writer')] })
})
afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

const BOTH = { read: { roleArn: arnOf('reader') }, write: { roleArn: arnOf('writer') } }
const inAccount = (account: string, { handle }: { handle: JsonObject }): JsonObject => ({
  ...handle,
  roleArn: `arn:aws:iam::${account}:role/reader`,
})

describe('withdrawing a session', () => {
  it('denies it everything, and its neighbour nothing', async () => {
    const adapter = fixture.adapter()
    const [session, neighbour] = [await fixture.issue(adapter), await fixture.issue(adapter)]
    expect(await adapter.revoke([session.handle], call())).toEqual([ENDED])
    expect(await fixture.read(session.credential)).toBe(DENIED)
    expect(await fixture.read(neighbour.credential)).toBe(CONTENT)
  })

  it('takes one call for many, and writes nothing but who is denied', async () => {
    const adapter = fixture.adapter()
    const sessions = await Promise.all(Array.from({ length: 30 }, () => fixture.issue(adapter)))
    const handles = sessions.map(({ handle }) => handle)
    expect(await adapter.revoke(handles, call())).toEqual(handles.map(() => ENDED))
    expect(countOf(fixture, 'PutRolePolicy')).toBe(1)
    const [name = ''] = denialsOf(fixture)
    const document = JSON.parse(fixture.aws.rolePolicies('reader').get(name) ?? '') as object
    expect(document).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Deny',
          Action: '*',
          Resource: '*',
          Condition: {
            StringLike: {
              'aws:userid': handles
                .map((handle) => `*${String(handle['sessionName']).slice(-16)}`)
                .toSorted(),
            },
          },
        },
      ],
    })
    for (const { credential } of sessions) expect(await fixture.read(credential)).toBe(DENIED)
  })

  it('takes more documents where one does not hold all', async () => {
    const adapter = fixture.adapter()
    const sessions = await Promise.all(Array.from({ length: 250 }, () => fixture.issue(adapter)))
    const handles = sessions.map(({ handle }) => handle)
    expect(await adapter.revoke(handles, call())).toEqual(handles.map(() => ENDED))
    expect(countOf(fixture, 'PutRolePolicy')).toBe(3)
    for (const { credential } of sessions) expect(await fixture.read(credential)).toBe(DENIED)
  })

  it('lasts until the last of those has ended that it is for', async () => {
    const adapter = fixture.adapter()
    const long = await fixture.issue(adapter, fixture.requestFor(900))
    const short = await fixture.issue(adapter, fixture.requestFor(60))
    expect(await adapter.revoke([long.handle, short.handle], call())).toEqual([ENDED, ENDED])
    expect(countOf(fixture, 'PutRolePolicy')).toBe(1)
    fixture.advance(14 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(await fixture.read(long.credential)).toBe(DENIED)
  })

  it('is nothing to do once its time is over', async () => {
    const adapter = fixture.adapter()
    const { handle } = await fixture.issue(adapter)
    fixture.advance(10 * MINUTE)
    expect(await adapter.revoke([handle], call())).toEqual([ENDED])
    expect(countOf(fixture, 'PutRolePolicy')).toBe(0)
  })

  it('goes by AWS’s clock, not by one of ours that is ahead', async () => {
    const { handle, credential } = await fixture.issue(fixture.adapter())
    const ahead = fixture.adapter({}, undefined, { now: () => fixture.now() + 11 * MINUTE })
    expect(await ahead.revoke([handle], call())).toEqual([ENDED])
    expect(await fixture.read(credential)).toBe(DENIED)
  })

  it('reaches a session whose access is gone from the configuration', async () => {
    const { handle, credential } = await fixture.issue(
      fixture.adapter({}, { read: { roleArn: arnOf('writer') } }),
    )
    expect(await fixture.adapter().revoke([handle], call())).toEqual([ENDED])
    expect(await fixture.read(credential)).toBe(DENIED)
  })

  it('is for what was only planned, too, for as long as it could be there', async () => {
    const adapter = fixture.adapter()
    const planned = adapter.plan(fixture.requestFor(600))
    expect(await adapter.revoke([planned], call())).toEqual([ENDED])
    expect(denialsOf(fixture)).toHaveLength(1)
    fixture.advance(16 * MINUTE)
    expect(await adapter.revoke([planned], call())).toEqual([ENDED])
    expect(countOf(fixture, 'PutRolePolicy')).toBe(1)
  })

  it('is repeated while IAM is busy, and when an answer of it was lost', async () => {
    const adapter = fixture.adapter()
    const { handle, credential } = await fixture.issue(adapter)
    fixture.aws.failNext('PutRolePolicy', 'throttling')
    fixture.aws.failNext('PutRolePolicy', 'lostAnswer')
    expect(await adapter.revoke([handle], call())).toEqual([ENDED])
    expect(countOf(fixture, 'PutRolePolicy')).toBe(3)
    expect(denialsOf(fixture)).toHaveLength(1)
    expect(await fixture.read(credential)).toBe(DENIED)
  })
})

describe('a withdrawal that is not possible', () => {
  it('is open while IAM is out of order, and is done later', async () => {
    const adapter = fixture.adapter({ maxAttempts: 1 })
    const [expired, session] = [
      await fixture.issue(adapter, fixture.requestFor(5)),
      await fixture.issue(adapter),
    ]
    fixture.advance(5_000)
    fixture.aws.failNext('PutRolePolicy', 'unavailable')
    const [first, second] = await adapter.revoke([expired.handle, session.handle], call())
    expect(first).toEqual(ENDED)
    expect(second).toMatchObject({ access: 'open', error: { failure: 'unavailable', settled: false } })
    expect(await fixture.read(session.credential)).toBe(CONTENT)
    expect(await adapter.revoke([session.handle], call())).toEqual([ENDED])
    expect(await fixture.read(session.credential)).toBe(DENIED)
  })

  it('fails as a whole if nothing is known of any', async () => {
    const adapter = fixture.adapter({ maxAttempts: 1 })
    const { handle } = await fixture.issue(adapter)
    fixture.aws.failNext('PutRolePolicy', 'throttling', 9)
    await expect(adapter.revoke([handle], call())).rejects.toMatchObject({ failure: 'unavailable' })
  })

  it('is told in time if IAM says nothing', async () => {
    const adapter = fixture.adapter()
    const { handle } = await fixture.issue(adapter)
    fixture.aws.failNext('PutRolePolicy', 'hang', 9)
    const startedAt = performance.now()
    await expect(adapter.revoke([handle], call(1_000))).rejects.toMatchObject({ failure: 'timeout' })
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })

  it('does not keep another role from it', async () => {
    const adapter = fixture.adapter({ maxAttempts: 1 }, BOTH)
    const [reader, writer] = [
      await fixture.issue(adapter),
      await fixture.issue(adapter, fixture.request({ access: 'write' })),
    ]
    fixture.aws.failNext('PutRolePolicy', { status: 403, code: 'AccessDenied', message: 'no' })
    const outcomes = await adapter.revoke([reader.handle, writer.handle], call())
    const [open, ended] = outcomes[0]?.access === 'open' ? outcomes : outcomes.toReversed()
    expect(ended).toEqual(ENDED)
    expect(open).toMatchObject({ access: 'open', error: { failure: 'failed' } })
    expect(errorOf(open)).toMatch(/allow it iam:PutRolePolicy/)
  })

  it('does not write on a role of the same name in our own account', async () => {
    const adapter = fixture.adapter()
    const session = await fixture.issue(adapter)
    const [outcome] = await adapter.revoke([inAccount('999999999999', session)], call())
    expect(outcome).toMatchObject({ access: 'open', error: { failure: 'failed' } })
    expect(errorOf(outcome)).toMatch(/not in the account .*123456789012/)
    expect(countOf(fixture, 'PutRolePolicy')).toBe(0)
    fixture.advance(10 * MINUTE)
    expect(await adapter.revoke([inAccount('999999999999', session)], call())).toEqual([ENDED])
  })

  it('is open until the session has ended by its time, if its role is gone', async () => {
    const adapter = fixture.adapter()
    const { handle } = await fixture.issue(adapter)
    const gone = { ...handle, roleArn: arnOf('gone') }
    fixture.aws.failNext('PutRolePolicy', { status: 404, code: 'NoSuchEntity', message: 'no' })
    const [outcome] = await adapter.revoke([gone], call())
    expect(errorOf(outcome)).toMatch(/role gone does not exist any more/)
    fixture.advance(10 * MINUTE)
    expect(await adapter.revoke([gone], call())).toEqual([ENDED])
  })

  it.each([
    { sessionName: 'tg-*' },
    { sessionName: 'someone-else' },
    { storeId: '../../etc' },
    { roleArn: 'arn:aws:iam::123456789012:user/x' },
    { roleArn: 'arn:aws:iam::123456789012:role/a\nb' },
    { endsBefore: 'never' },
    { expiresAt: 1 },
    { policy: '*' },
  ])('says of what is no handle of ours that access is open: %j', async (changes) => {
    const adapter = fixture.adapter()
    const { handle } = await fixture.issue(adapter)
    const outcomes = await adapter.revoke([{ ...handle, ...changes }], call())
    expect(outcomes).toMatchObject([{ access: 'open', error: { failure: 'failed', settled: true } }])
    expect(countOf(fixture, 'PutRolePolicy')).toBe(0)
  })
})

describe('a resource without withdrawal', () => {
  it('asks nothing of IAM, and says when a session ends', async () => {
    const adapter = fixture.adapter({ revocation: 'none' })
    expect(adapter.guarantees).toEqual({ nativeExpiry: 'exact', revocation: 'expiry-only' })
    const { handle, credential, expiresAt } = await fixture.issue(adapter)
    expect(await adapter.revoke([handle], call())).toEqual([{ access: 'expiring', endsAt: expiresAt }])
    expect(await fixture.read(credential)).toBe(CONTENT)
    await adapter.check(call())
    await adapter.prune?.(STORE, call())
    fixture.advance(10 * MINUTE)
    expect(await adapter.revoke([handle], call())).toEqual([ENDED])
    expect(await fixture.read(credential)).toBe(DENIED)
    expect(fixture.aws.calls.filter(({ service }) => service === 'iam')).toEqual([])
  })

  it('knows an end of what was only planned: the same whenever it is asked', async () => {
    const adapter = fixture.adapter({ revocation: 'none' })
    const planned = adapter.plan(fixture.requestFor(600))
    const first = await adapter.revoke([planned], call())
    fixture.advance(5 * MINUTE)
    expect(await adapter.revoke([planned], call())).toEqual(first)
    fixture.advance(10 * MINUTE)
    expect(await adapter.revoke([planned], call())).toEqual([ENDED])
  })
})

describe('a role that has policies of others', () => {
  it('keeps them, whatever they are called', async () => {
    const others = {
      base: allow('s3:GetObject', 'arn:aws:s3:::reports/*'),
      AWSRevokeOlderSessions: allow('s3:ListBucket', '*'),
      'taskgrant-abcd1234': allow('s3:ListBucket', '*'),
      'taskgrant-abcd1234-notes': allow('s3:ListBucket', '*'),
      'taskgrant-wxyz5678-1-2-abcdef0123': allow('s3:ListBucket', '*'),
      'taskgrant-wxyz5678-1-2-older': allow('s3:ListBucket', '*'),
      'taskgrant-wxyz5678-reserve': allow('s3:ListBucket', '*'),
    }
    const own = await startAws({ roles: [roleNamed('reader', { policies: others })] })
    const adapter = own.adapter({ whenFull: 'deny-older' })
    const { handle } = await own.issue(adapter)
    await adapter.revoke([handle], call())
    await adapter.prune?.(STORE, call())
    own.advance(60 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(own)).toEqual(['taskgrant-abcd1234-notes', 'taskgrant-abcd1234-reserve'])
    const left = own.aws.rolePolicies('reader')
    for (const [name, policy] of Object.entries(others)) expect(left.get(name)).toBe(JSON.stringify(policy))
    await own[Symbol.asyncDispose]()
  })
})
