import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { adapterKinds } from '../../adapters/index.ts'
import { createAwsStsAdapter } from '../../adapters/aws-sts/index.ts'
import { access, settings } from '../../adapters/aws-sts/settings.ts'
import { withoutVersionWarning } from '../../adapters/aws-sts/version-warning.ts'
import { parseConfig } from '../../broker/config.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'

const ROLE = 'arn:aws:iam::123456789012:role/reports-reader'
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const credentials = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: SECRET }
const problemsOf = (parsed: ReturnType<typeof settings.safeParse> | ReturnType<typeof access.safeParse>) =>
  parsed.error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
const flawsOf = (changes: object) => problemsOf(settings.safeParse({ region: 'eu-west-1', ...changes }))
const flawsOfAccess = (changes: object) => problemsOf(access.safeParse({ roleArn: ROLE, ...changes }))

describe('settings', () => {
  it('need a region, and have defaults for the rest', () => {
    expect(settings.parse({ region: 'us-gov-west-1' })).toEqual({
      region: 'us-gov-west-1',
      revocation: 'deny',
      whenFull: 'refuse',
      sessionTags: true,
      sourceIdentity: true,
      maxAttempts: 4,
    })
    expect(settings.safeParse({}).success).toBe(false)
  })

  it.each(['eu-west-1', 'ap-southeast-2', 'cn-north-1', 'us-iso-east-1', 'eusc-de-east-1'])(
    'take the region %s',
    (region) => {
      expect(flawsOf({ region })).toEqual([])
    },
  )

  it.each(['', 'Europe', 'eu-west-1.evil.example', 'eu_west_1', 'eu-west-1/', '../eu-west-1'])(
    'do not take the region %j',
    (region) => {
      expect(flawsOf({ region })).toHaveLength(1)
    },
  )

  it.each(['http://127.0.0.1:4566', 'http://localhost:4566/', 'http://[::1]:1', 'https://sts.example.com'])(
    'take the endpoint %s',
    (endpoint) => {
      expect(flawsOf({ endpoint, stsEndpoint: endpoint, iamEndpoint: endpoint })).toEqual([])
    },
  )

  it.each([
    'http://sts.example.com',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'ftp://127.0.0.1',
    'https://user:password@sts.example.com',
    'https://sts.example.com?x=1',
    'https://sts.example.com#x',
    'sts.example.com',
  ])('do not take the endpoint %s', (endpoint) => {
    for (const key of ['endpoint', 'stsEndpoint', 'iamEndpoint'])
      expect(flawsOf({ [key]: endpoint })).not.toEqual([])
  })

  it('hide the credentials', () => {
    const parsed = settings.parse({
      region: 'eu-west-1',
      credentials: { ...credentials, sessionToken: SECRET },
    })
    expect(inspect(parsed, { depth: null }) + JSON.stringify(parsed)).not.toContain(SECRET)
    expect(parsed.credentials?.secretAccessKey.reveal()).toBe(SECRET)
    expect(flawsOf({ credentials: { accessKeyId: 'x y', secretAccessKey: SECRET } }).join()).not.toContain(
      SECRET,
    )
  })

  it.each([
    { revocation: 'ask' },
    { whenFull: 'panic' },
    { maxAttempts: 0 },
    { tls: false },
    { credentials: {} },
  ])('do not take %j', (changes) => {
    expect(flawsOf(changes)).not.toEqual([])
  })
})

describe('an access', () => {
  it.each([
    ROLE,
    'arn:aws-cn:iam::123456789012:role/reader',
    'arn:aws-us-gov:iam::123456789012:role/teams/data/reader',
    'arn:aws:iam::123456789012:role/odd_+=,.@-role',
  ])('takes the role %s', (roleArn) => {
    expect(flawsOfAccess({ roleArn })).toEqual([])
  })

  it.each([
    'reader',
    'arn:aws:iam::123456789012:user/reader',
    'arn:aws:iam::12345:role/reader',
    'arn:aws:iam::123456789012:role/',
    'arn:aws:iam::123456789012:role/a b',
    'arn:aws:iam::123456789012:role/*',
    `arn:aws:iam::123456789012:role/${'x'.repeat(65)}`,
    'arn:aws:sts::123456789012:assumed-role/reader/x',
    `${ROLE}\n`,
  ])('does not take the role %j', (roleArn) => {
    expect(flawsOfAccess({ roleArn })).toHaveLength(1)
  })

  it.each([
    [{ externalId: 'x' }],
    [{ externalId: 'a b' }],
    [{ policyArns: [] }],
    [{ policyArns: Array.from({ length: 11 }, () => 'arn:aws:iam::aws:policy/X') }],
    [{ policyArns: ['arn:aws:iam::aws:role/X'] }],
    [{ policy: {} }],
    [{ policy: { Statement: [] } }],
    [{ policy: { Statement: { Action: '*' } } }],
    [{ policy: { Statement: { Effect: 'Maybe' } } }],
    [{ policy: { Version: '2008-10-17', Statement: { Effect: 'Allow' } } }],
    [{ policy: { Statement: { Effect: 'Allow' }, Statements: [] } }],
    [{ policy: '{}' }],
    [{ memberOf: 'x' }],
  ])('does not take %j', (changes) => {
    expect(flawsOfAccess(changes)).not.toEqual([])
  })

  it('takes a policy up to what AWS takes, our own statement included', () => {
    const policy = (length: number) => ({
      Statement: { Effect: 'Allow', Action: '*', Resource: `arn:aws:s3:::${'x'.repeat(length)}` },
    })
    const lengths = Array.from({ length: 2048 }, (_, length) => length)
    const longest = lengths.findLast((length) => flawsOfAccess({ policy: policy(length) }).length === 0) ?? 0
    expect(longest).toBeGreaterThan(1750)
    expect(flawsOfAccess({ policy: policy(longest + 1) })).toEqual([
      'policy: expected at most 2048 characters together with the statement that ends the session',
    ])
  })

  it('is checked like this in a configuration, and named where it is wrong', async () => {
    const config = (policy: object) => ({
      policies: 'policies',
      resources: {
        reports: { adapter: 'aws-sts', region: 'eu-west-1', access: { read: { roleArn: ROLE, policy } } },
      },
    })
    const long = { Effect: 'Allow', Action: '*', Resource: `arn:aws:s3:::${'x'.repeat(2000)}` }
    await expect(parseConfig(config({ Statement: long }), adapterKinds, '/')).rejects.toMatchObject({
      flaws: [{ path: 'resources.reports.access.read.policy' }],
    })
    const variable = {
      Effect: 'Allow',
      Action: '*',
      Resource: 'arn:aws:s3:::${aws:PrincipalTag/taskgrant:task}/*',
    }
    const { resources } = await parseConfig(config({ Statement: variable }), adapterKinds, '/')
    expect(resources.get('reports')?.accesses.get('read')?.settings['policy']).toEqual([variable])
  })
})

describe('the warning of the SDK about Node.js 20', () => {
  const name = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'

  it('is not given', async () => {
    const warnings: string[] = []
    const listen = ({ message }: Error): void => void warnings.push(message)
    process.on('warning', listen)
    const adapter = createAwsStsAdapter({
      resource: 'reports',
      settings: settings.parse({ region: 'eu-west-1', credentials }),
      accesses: new Map(),
      ...NO_SERVICES,
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    process.off('warning', listen)
    await adapter[Symbol.asyncDispose]()
    expect(warnings).toEqual([])
  })

  it('leaves the environment as it was', () => {
    const seen: (string | undefined)[] = []
    const build = (): void => void seen.push(process.env[name])
    expect(process.env[name]).toBeUndefined()
    withoutVersionWarning(build)
    expect(Object.hasOwn(process.env, name)).toBe(false)
    process.env[name] = 'false'
    withoutVersionWarning(build)
    expect(process.env[name]).toBe('false')
    delete process.env[name]
    const fail = (): never => {
      throw new Error('no')
    }
    expect(() => withoutVersionWarning(fail)).toThrow('no')
    expect(Object.hasOwn(process.env, name)).toBe(false)
    expect(seen).toEqual(['true', 'true'])
  })
})
