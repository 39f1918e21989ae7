import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import { startHttpStub } from '../support/http-stub.ts'
import { allow, arnOf, STRANGER } from '../unit/aws-emulator-steps.ts'
import {
  BROKER_KEYS,
  call,
  countOf,
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
const messageOf = (work: Promise<unknown> | undefined): Promise<string> =>
  (work ?? Promise.resolve()).then(
    () => 'it did not fail',
    (error: Error) => error.message,
  )

describe('the check', () => {
  it('passes where everything is in place, and looks at roles every few minutes only', async () => {
    const adapter = fixture.adapter({}, BOTH)
    await adapter.check(call())
    await adapter.check(call())
    expect(countOf(fixture, 'GetCallerIdentity')).toBe(2)
    expect(countOf(fixture, 'GetRole')).toBe(2)
  })

  it.each(['GetRole', 'ListRolePolicies', 'GetRolePolicy'] as const)(
    'names iam:%s if it is missing, and the role',
    async (action) => {
      const permitted = ['GetRole', 'ListRolePolicies', 'GetRolePolicy'].filter((one) => one !== action)
      const limited = await startAws({
        brokerPolicies: [
          allow(
            permitted.map((one) => `iam:${one}`),
            arnOf('reader'),
          ),
        ],
      })
      const message = await messageOf(limited.adapter().check(call()))
      expect(message).toBe(`the broker may not withdraw on ${arnOf('reader')}: allow it iam:${action}`)
      await limited[Symbol.asyncDispose]()
    },
  )

  it('tells everything that is wrong at once', async () => {
    const accesses = {
      gone: { roleArn: arnOf('gone') },
      foreign: { roleArn: 'arn:aws:iam::999999999999:role/reader' },
      path: { roleArn: 'arn:aws:iam::123456789012:role/team/reader' },
    }
    const all = await startAws({ brokerPolicies: [allow('iam:*', '*')] })
    const message = await messageOf(all.adapter({}, accesses).check(call()))
    expect(message).toMatch(
      /role\/gone does not exist; .*999999999999.*; the ARN of role reader is .*, not .*team/,
    )
    await all[Symbol.asyncDispose]()
  })

  it('says if the clocks differ', async () => {
    const adapter = fixture.adapter({}, undefined, { now: () => fixture.now() - 2 * MINUTE })
    expect(await messageOf(adapter.check(call()))).toMatch(/AWS is 1[12]\d s ahead of ours/)
    const ahead = fixture.adapter({}, undefined, { now: () => fixture.now() + 2 * MINUTE })
    expect(await messageOf(ahead.check(call()))).toMatch(/AWS is 1[12]\d s behind ours/)
  })

  it('says if AWS does not accept the credentials', async () => {
    const credentials = { ...BROKER_KEYS, accessKeyId: 'AKIANOBODY123456' }
    expect(await messageOf(fixture.adapter({ credentials }).check(call()))).toBe(
      'AWS does not accept the credentials of the broker (InvalidClientTokenId)',
    )
  })

  it('says if there are none', async () => {
    const names = ['AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'AWS_CONFIG_FILE', 'AWS_EC2_METADATA_DISABLED']
    const before = names.map((name) => [name, process.env[name]] as const)
    for (const name of names) delete process.env[name]
    process.env['AWS_CONFIG_FILE'] = '/dev/null'
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = '/dev/null'
    process.env['AWS_EC2_METADATA_DISABLED'] = 'true'
    const message = await messageOf(fixture.adapter({ credentials: undefined }).check(call()))
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    delete process.env['AWS_SHARED_CREDENTIALS_FILE']
    expect(message).toBe('there are no AWS credentials for the broker')
  })

  it('says if nobody answers', async () => {
    const nobody = fixture.adapter({ endpoint: 'http://127.0.0.1:1', maxAttempts: 1 })
    expect(await messageOf(nobody.check(call()))).toBe(
      'AWS cannot be reached for GetCallerIdentity: ECONNREFUSED',
    )
  })
})

describe('an error', () => {
  const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'

  async function allErrorsOf(adapter: Adapter): Promise<string> {
    const request = fixture.request()
    const planned = adapter.plan(request)
    const attempts = await Promise.allSettled([
      adapter.issue(request, planned, call()),
      adapter.revoke([adapter.plan(fixture.request())], call()),
      adapter.prune?.(STORE, call()),
      adapter.check(call()),
    ])
    return attempts
      .map((attempt) => {
        if (attempt.status === 'fulfilled') return inspect(attempt.value, { depth: null })
        const error = attempt.reason as Error & { cause?: unknown }
        expect(error.name).toBe('AwsFailure')
        expect(error.cause).toBeUndefined()
        return inspect(error, { depth: null, showHidden: true }) + error.stack
      })
      .join('\n')
  }

  it('quotes no message of AWS', async () => {
    for (const action of ['AssumeRole', 'PutRolePolicy', 'ListRolePolicies', 'GetCallerIdentity'] as const) {
      const failure = { status: 400, code: 'ValidationError', message: `you sent ${SECRET}` }
      fixture.aws.failNext(action, failure, 4)
    }
    const told = await allErrorsOf(fixture.adapter({ maxAttempts: 1 }))
    expect(told).toContain('AWS refused AssumeRole (ValidationError)')
    expect(told).not.toContain(SECRET)
  })

  it('quotes no code that is none of AWS’s words', async () => {
    const failure = { status: 400, code: `Bad-${SECRET}`, message: 'no' }
    fixture.aws.failNext('AssumeRole', failure, 4)
    const told = await allErrorsOf(fixture.adapter({ maxAttempts: 1 }))
    expect(told).toContain('AWS refused AssumeRole')
    expect(told).not.toContain(SECRET)
  })

  it.each([
    ['no XML', `secret: ${SECRET}`],
    ['XML that is cut off', `<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>${SECRET}`],
    [
      'an answer without a token',
      `<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>${SECRET}</SecretAccessKey></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
    ],
    ['HTML', `<html><body>${SECRET}</body></html>`],
  ])('holds nothing of an answer that is %s', async (_name, body) => {
    for (const status of [200, 400, 502]) {
      await using stub = await startHttpStub(() => ({
        status,
        headers: { 'content-type': 'text/xml' },
        body,
      }))
      const adapter = fixture.adapter({ endpoint: stub.url, maxAttempts: 1 })
      const request = fixture.request()
      const issuing = adapter.issue(request, adapter.plan(request), call())
      await expect(issuing).rejects.toMatchObject({ name: 'AwsFailure', settled: status === 400 })
      expect(await allErrorsOf(adapter)).not.toContain(SECRET)
    }
  })

  it('holds none of the credentials of the broker', async () => {
    const credentials = { ...STRANGER, secretAccessKey: SECRET, sessionToken: `token-${SECRET}` }
    const told = await allErrorsOf(fixture.adapter({ credentials }))
    expect(told).not.toContain(SECRET)
  })
})
