import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Adapter, Credential } from '../../broker/adapter.ts'
import { allow, arnOf, assume, trusting } from '../unit/aws-emulator-steps.ts'
import {
  ACCOUNT_ROOT,
  ASSUME,
  BROKER_KEYS,
  call,
  CONTENT,
  countOf,
  DENIED,
  ENDED,
  HOUR,
  MINUTE,
  OBJECT,
  roleNamed,
  startAws,
  type AwsFixture,
} from './aws-sts-steps.ts'

const REPORTS_READER = 'arn:aws:iam::aws:policy/ReportsReader'
const PRIVATE = '/private/x'

let fixture: AwsFixture
beforeEach(async () => {
  fixture = await startAws({
    roles: [
      roleNamed('reader'),
      roleNamed('hourly', { maxSessionDurationSeconds: 3600 }),
      roleNamed('bihourly', { maxSessionDurationSeconds: 7200 }),
      roleNamed('bare', { trust: trusting(ACCOUNT_ROOT, ['sts:AssumeRole']) }),
      roleNamed('tagged', { trust: trusting(ACCOUNT_ROOT, ['sts:AssumeRole', 'sts:TagSession']) }),
      roleNamed('external', {
        trust: trusting(ACCOUNT_ROOT, ASSUME, { StringEquals: { 'sts:ExternalId': 'taskgrant-42' } }),
      }),
      roleNamed('base', { policies: { all: allow('*', '*') } }),
    ],
    managedPolicies: { [REPORTS_READER]: allow('s3:GetObject', 'arn:aws:s3:::reports/*') },
  })
})
afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

const on = (role: string, more: object = {}) => ({ read: { roleArn: arnOf(role), ...more } })
const lastAssume = (): Record<string, string> =>
  fixture.aws.calls.findLast(({ action }) => action === 'AssumeRole')?.parameters ?? {}
const failureOf = async (adapter: Adapter, request = fixture.request()): Promise<Error> =>
  adapter.issue(request, adapter.plan(request), call()).then(
    () => new Error('it was issued'),
    (error: Error) => error,
  )

describe('when a session ends', () => {
  it('opens nothing from the end of the grant on, by AWS’s clock, though AWS gives 15 minutes', async () => {
    const { credential, expiresAt } = await fixture.issue(fixture.adapter(), fixture.requestFor(60))
    expect(lastAssume()['DurationSeconds']).toBe('900')
    fixture.advance(58_000)
    expect(await fixture.read(credential)).toBe(CONTENT)
    fixture.advance(2_000)
    expect(await fixture.read(credential)).toBe(DENIED)
    expect(expiresAt?.getTime()).toBeLessThanOrEqual(fixture.now())
    expect(credential['expiration']).toBe(expiresAt?.toISOString())
  })

  it('is as long as asked where the role allows it', async () => {
    const { expiresAt, request } = await fixture.issue(fixture.adapter(), fixture.requestFor(8 * 3600))
    expect(Number(lastAssume()['DurationSeconds'])).toBe(8 * 3600)
    expect(request.expiresAt.getTime() - (expiresAt?.getTime() ?? 0)).toBeLessThan(1_000)
  })

  it('is capped at the maximum of the role, and says so', async () => {
    const adapter = fixture.adapter({}, on('bihourly'))
    const { credential, expiresAt, handle } = await fixture.issue(adapter, fixture.requestFor(6 * 3600))
    expect(Math.round(((expiresAt?.getTime() ?? 0) - fixture.now()) / MINUTE)).toBe(120)
    expect(handle['expiresAt']).toBe(expiresAt?.toISOString())
    expect(credential['expiration']).toBe(expiresAt?.toISOString())
    expect(await fixture.read(credential)).toBe(CONTENT)
  })

  it('remembers the maximum of a role', async () => {
    const adapter = fixture.adapter({}, on('bihourly'))
    await fixture.issue(adapter, fixture.requestFor(6 * 3600))
    expect([countOf(fixture, 'AssumeRole'), countOf(fixture, 'GetRole')]).toEqual([2, 1])
    await fixture.issue(adapter, fixture.requestFor(6 * 3600))
    expect([countOf(fixture, 'AssumeRole'), countOf(fixture, 'GetRole')]).toEqual([3, 1])
  })

  it('lasts the hour that every role allows, if the broker may not look what it allows', async () => {
    fixture.aws.failNext('GetRole', { status: 403, code: 'AccessDenied', message: 'no' })
    const adapter = fixture.adapter({}, on('bihourly'))
    const { expiresAt } = await fixture.issue(adapter, fixture.requestFor(6 * 3600))
    expect(Math.round(((expiresAt?.getTime() ?? 0) - fixture.now()) / MINUTE)).toBe(60)
  })

  it('lasts an hour at most where the broker is in a role itself', async () => {
    const own = await assume(fixture.world, {
      RoleArn: arnOf('base'),
      DurationSeconds: 43_200,
    })
    const { accessKeyId, secretAccessKey, sessionToken } = own
    const adapter = fixture.adapter(
      { credentials: { accessKeyId, secretAccessKey, sessionToken } },
      on('reader'),
    )
    const { credential, expiresAt } = await fixture.issue(adapter, fixture.requestFor(6 * 3600))
    expect(Math.round(((expiresAt?.getTime() ?? 0) - fixture.now()) / MINUTE)).toBe(60)
    expect(await fixture.read(credential)).toBe(CONTENT)
  })

  it('is never longer than its handle says, whatever was recorded', async () => {
    const request = fixture.requestFor(60, { expiresAt: new Date(fixture.now() + 8 * HOUR) })
    const { planned, expiresAt } = await fixture.issue(fixture.adapter(), request)
    expect(expiresAt?.getTime()).toBeLessThanOrEqual(Date.parse(String(planned['endsBefore'])))
  })

  it.each([
    ['its time is over', { expiresAt: new Date(Date.now() - 1_000) }, /its time is over already/],
    ['the order came too late', { issueBefore: new Date(Date.now() - 1_000) }, /came too late/],
  ])('is never opened if %s', async (_name, changes, message) => {
    const error = await failureOf(fixture.adapter(), fixture.request(changes))
    expect(error).toMatchObject({ failure: 'failed', settled: true, message: expect.stringMatching(message) })
    expect(fixture.aws.calls).toEqual([])
  })
})

describe('what AWS is told', () => {
  it('names task, grant, workload and store in tags, and the task as source identity', async () => {
    const { request } = await fixture.issue(fixture.adapter())
    const sent = lastAssume()
    const tags = [1, 2, 3, 4].map((index) => [
      sent[`Tags.member.${index}.Key`],
      sent[`Tags.member.${index}.Value`],
    ])
    expect(Object.fromEntries(tags)).toEqual({
      'taskgrant:task': request.taskId,
      'taskgrant:grant': request.grantId,
      'taskgrant:workload': 'mcp-reports',
      'taskgrant:store': 'abcd1234',
    })
    expect(sent['SourceIdentity']).toBe(request.taskId)
    expect(sent['RoleSessionName']).toBe(`tg-${request.grantId.replaceAll('-', '')}`)
  })

  it('is neither, if both are switched off', async () => {
    const adapter = fixture.adapter({ sessionTags: false, sourceIdentity: false }, on('bare'))
    const { credential } = await fixture.issue(adapter)
    expect(Object.keys(lastAssume()).filter((name) => /Tags|Source/.test(name))).toEqual([])
    expect(await fixture.read(credential)).toBe(CONTENT)
  })

  it('says what a trust policy must allow that refuses tags', async () => {
    const error = await failureOf(fixture.adapter({}, on('bare')))
    expect(error.message).toMatch(
      /tag sessions of arn:aws:iam::123456789012:role\/bare .*sts:TagSession.*sessionTags/,
    )
    expect(error).toMatchObject({ failure: 'failed', settled: true })
  })

  it('says what a trust policy must allow that refuses a source identity', async () => {
    const error = await failureOf(fixture.adapter({}, on('tagged')))
    expect(error.message).toMatch(/source identity .*sts:SetSourceIdentity.*sourceIdentity to false/)
  })

  it('proves itself with the external id', async () => {
    const { credential } = await fixture.issue(
      fixture.adapter({}, on('external', { externalId: 'taskgrant-42' })),
    )
    expect(await fixture.read(credential)).toBe(CONTENT)
    const error = await failureOf(fixture.adapter({}, on('external', { externalId: 'another' })))
    expect(error.message).toMatch(/may assume|assume arn:aws:iam::123456789012:role\/external .*external id/)
  })
})

describe('what a session may do', () => {
  const readAll = async (credential: Credential): Promise<string[]> => [
    await fixture.read(credential, OBJECT),
    await fixture.read(credential, PRIVATE),
  ]

  it('is what the role may do', async () => {
    const { credential } = await fixture.issue(fixture.adapter())
    expect(await readAll(credential)).toEqual([CONTENT, 'x'])
  })

  it('is narrowed by a session policy', async () => {
    const policy = { Statement: { Effect: 'Allow', Action: 's3:*', Resource: 'arn:aws:s3:::reports/*' } }
    const { credential } = await fixture.issue(fixture.adapter({}, on('reader', { policy })))
    expect(await readAll(credential)).toEqual([CONTENT, DENIED])
    fixture.advance(11 * MINUTE)
    expect(await readAll(credential)).toEqual([DENIED, DENIED])
  })

  it('is narrowed by managed policies', async () => {
    const { credential } = await fixture.issue(
      fixture.adapter({}, on('reader', { policyArns: [REPORTS_READER] })),
    )
    expect(await readAll(credential)).toEqual([CONTENT, DENIED])
    fixture.advance(11 * MINUTE)
    expect(await readAll(credential)).toEqual([DENIED, DENIED])
  })

  it('is what either of them allows, if there are both', async () => {
    const policy = { Statement: [{ Effect: 'Allow', Action: 's3:*', Resource: 'arn:aws:s3:::private/*' }] }
    const both = { policy, policyArns: [REPORTS_READER] }
    const { credential } = await fixture.issue(fixture.adapter({}, on('reader', both)))
    expect(await readAll(credential)).toEqual([CONTENT, 'x'])
  })

  it('says so if AWS does not take the policy', async () => {
    const policy = { Statement: { Effect: 'Allow', Action: 'no such action', Resource: '*' } }
    const error = await failureOf(fixture.adapter({}, on('reader', { policy })))
    expect(error).toMatchObject({ failure: 'failed', settled: true })
    expect(error.message).toMatch(/does not accept the session policy .*MalformedPolicyDocument/)
  })
})

describe('an order that AWS refuses', () => {
  it('leaves nothing to withdraw', async () => {
    const adapter = fixture.adapter({}, on('bare'))
    const request = fixture.request()
    const planned = adapter.plan(request)
    await expect(adapter.issue(request, planned, call())).rejects.toMatchObject({ settled: true })
    expect(await adapter.revoke([planned], call())).toEqual([ENDED])
    expect(countOf(fixture, 'PutRolePolicy')).toBe(0)
  })

  it('is repeated while AWS is busy', async () => {
    fixture.aws.failNext('AssumeRole', 'throttling', 2)
    const { credential } = await fixture.issue(fixture.adapter())
    expect(countOf(fixture, 'AssumeRole')).toBe(3)
    expect(await fixture.read(credential)).toBe(CONTENT)
  })

  it('is given up if AWS stays busy', async () => {
    fixture.aws.failNext('AssumeRole', 'throttling', 10)
    const error = await failureOf(fixture.adapter({ maxAttempts: 2 }))
    expect(error).toMatchObject({ failure: 'unavailable', settled: true })
    expect(countOf(fixture, 'AssumeRole')).toBe(2)
  })

  it('does not accept the credentials of the broker', async () => {
    const credentials = { ...BROKER_KEYS, secretAccessKey: 'another-secret-of-the-broker' }
    const error = await failureOf(fixture.adapter({ credentials }))
    expect(error).toMatchObject({ failure: 'failed', settled: true })
    expect(error.message).toBe('AWS does not accept the credentials of the broker (SignatureDoesNotMatch)')
  })
})

describe('an order of which it is not known what became', () => {
  it.each(['lostAnswer', 'unavailable'] as const)('%s: may have opened a session', async (failure) => {
    fixture.aws.failNext('AssumeRole', failure, 10)
    const error = await failureOf(fixture.adapter({ maxAttempts: 2 }))
    expect(error).toMatchObject({ failure: 'unavailable', settled: false })
  })

  it('may have opened a session also if it was repeated and refused then', async () => {
    fixture.aws.failNext('AssumeRole', 'lostAnswer')
    fixture.aws.failNext('AssumeRole', { status: 403, code: 'AccessDenied', message: 'no' })
    const error = await failureOf(fixture.adapter())
    expect(countOf(fixture, 'AssumeRole')).toBe(2)
    expect(error).toMatchObject({ failure: 'failed', settled: false })
  })

  it('is given up in time if AWS says nothing', async () => {
    fixture.aws.failNext('AssumeRole', 'hang', 10)
    const adapter = fixture.adapter()
    const request = fixture.request()
    const startedAt = performance.now()
    const issuing = adapter.issue(request, adapter.plan(request), call(1_000))
    await expect(issuing).rejects.toMatchObject({ failure: 'timeout', settled: false })
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })

  it('leaves a session that the withdrawal of its planned handle denies', async () => {
    fixture.aws.failNext('AssumeRole', 'lostAnswer')
    const adapter = fixture.adapter({ maxAttempts: 1 })
    const request = fixture.request()
    const planned = adapter.plan(request)
    await expect(adapter.issue(request, planned, call())).rejects.toMatchObject({ settled: false })
    // Whoever has its keys, has those of a session of this name.
    const keys = await assume(fixture.world, { RoleSessionName: String(planned['sessionName']) })
    const { accessKeyId, secretAccessKey, sessionToken = '' } = keys
    const credential = { kind: 'aws-sts', accessKeyId, secretAccessKey, sessionToken }
    expect(await fixture.read(credential)).toBe(CONTENT)
    expect(await adapter.revoke([planned], call())).toEqual([ENDED])
    expect(await fixture.read(credential)).toBe(DENIED)
  })
})
