import {
  AssumeRoleCommand,
  GetCallerIdentityCommand,
  type AssumeRoleCommandInput,
  type AssumeRoleCommandOutput,
} from '@aws-sdk/client-sts'
import { expect, test } from 'vitest'
import type { RoleOptions } from '../../broker/dev/aws/options.ts'
import type { PolicyDocument } from '../../broker/dev/aws/policy-document.ts'
import {
  ACCOUNT,
  allow,
  arnOf,
  assume,
  ASSUME_READER,
  BROKER,
  refusalOf,
  startWorld,
  STRANGER,
  sts,
  trusting,
  type Keys,
  type World,
} from './aws-emulator-steps.ts'

const root = `arn:aws:iam::${ACCOUNT}:root`
const broker = `arn:aws:iam::${ACCOUNT}:user/broker`
const stranger = `arn:aws:iam::${ACCOUNT}:user/stranger`
const tags = (count: number, value = 'v'): { Key: string; Value: string }[] =>
  Array.from({ length: count }, (_, index) => ({ Key: `k${index}`, Value: value }))

function ask(
  world: World,
  input: Partial<AssumeRoleCommandInput>,
  keys: Keys = BROKER,
): Promise<AssumeRoleCommandOutput> {
  return sts(world, keys).send(new AssumeRoleCommand({ ...ASSUME_READER, ...input }))
}

const refused = (world: World, input: Partial<AssumeRoleCommandInput>, keys?: Keys): Promise<string> =>
  refusalOf(ask(world, input, keys))

const startWithTrust = (trust: PolicyDocument): Promise<World> =>
  startWorld({ roles: [{ name: 'reader', trust, policies: {} }] })

test('a session carries what it was asked for, and its end is in whole seconds', async () => {
  await using world = await startWorld()
  const answer = await ask(world, {
    DurationSeconds: 900,
    SourceIdentity: 'task-4711',
    Tags: [{ Key: 'taskgrant:task', Value: 'Ümläut /1' }],
    Policy: JSON.stringify(allow('s3:*', '*')),
  })
  expect(answer.Credentials?.AccessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/)
  expect(answer.Credentials?.SecretAccessKey).toHaveLength(40)
  expect(answer.Credentials?.Expiration).toEqual(new Date('2026-06-01T12:15:00Z'))
  expect(answer.AssumedRoleUser?.Arn).toBe(`arn:aws:sts::${ACCOUNT}:assumed-role/reader/task-1`)
  expect(answer.AssumedRoleUser?.AssumedRoleId).toMatch(/^AROA[A-Z2-7]{17}:task-1$/)
  expect(answer.SourceIdentity).toBe('task-4711')
  expect(answer.PackedPolicySize).toBeGreaterThan(0)
})

test('what was asked is recorded, with who asked and what came of it', async () => {
  await using world = await startWorld()
  await ask(world, { Tags: [{ Key: 'task', Value: 't-1' }] })
  await refused(world, { RoleArn: arnOf('nobody') })
  const [first, second] = world.aws.calls
  expect(first).toMatchObject({ service: 'sts', action: 'AssumeRole', caller: broker, error: undefined })
  expect(first?.parameters).toMatchObject({ RoleSessionName: 'task-1', 'Tags.member.1.Value': 't-1' })
  expect(second).toMatchObject({ action: 'AssumeRole', error: 'AccessDenied' })
  expect(JSON.stringify(world.aws.calls)).not.toContain(BROKER.secretAccessKey)
})

test.each<[string, Partial<AssumeRoleCommandInput>, string]>([
  ['a session name of one character', { RoleSessionName: 'x' }, 'ValidationError'],
  ['a session name of 65 characters', { RoleSessionName: 'x'.repeat(65) }, 'ValidationError'],
  ['a session name with a colon', { RoleSessionName: 'a:b' }, 'ValidationError'],
  ['less than a quarter of an hour', { DurationSeconds: 899 }, 'ValidationError'],
  ['more than twelve hours', { DurationSeconds: 43_201 }, 'ValidationError'],
  ['more than the role allows', { DurationSeconds: 7201 }, 'ValidationError'],
  ['a policy that is not JSON', { Policy: '{' }, 'MalformedPolicyDocument'],
  ['a policy with an unknown element', { Policy: '{"Statement":[],"X":1}' }, 'MalformedPolicyDocument'],
  ['a policy of 2049 characters', { Policy: ' '.repeat(2049) }, 'ValidationError'],
  ['a policy beyond Latin-1', { Policy: '{"Id":"\u{20AC}"}' }, 'ValidationError'],
  [
    'a managed policy that is not there',
    { PolicyArns: [{ arn: 'arn:aws:iam::aws:policy/X' }] },
    'ValidationError',
  ],
  [
    'eleven managed policies',
    { PolicyArns: Array.from({ length: 11 }, () => ({ arn: 'arn:aws:iam::aws:policy/X' })) },
    'ValidationError',
  ],
  ['51 tags', { Tags: tags(51) }, 'ValidationError'],
  ['a tag key of 129 characters', { Tags: [{ Key: 'k'.repeat(129), Value: '' }] }, 'ValidationError'],
  ['a tag value of 257 characters', { Tags: tags(1, 'v'.repeat(257)) }, 'ValidationError'],
  ['a tag value with a character that AWS does not take', { Tags: tags(1, 'a;b') }, 'ValidationError'],
  [
    'a tag twice',
    {
      Tags: [
        { Key: 'k', Value: '1' },
        { Key: 'K', Value: '2' },
      ],
    },
    'InvalidParameterValue',
  ],
  ['a reserved tag', { Tags: [{ Key: 'aws:x', Value: '1' }] }, 'InvalidParameterValue'],
  ['a source identity with a space', { SourceIdentity: 'a b' }, 'ValidationError'],
  ['a parameter that is not emulated', { TransitiveTagKeys: ['k'] }, 'InvalidQueryParameter'],
])('a session is not to be had with %s', async (_, input, code) => {
  await using world = await startWorld()
  expect(await refused(world, input)).toBe(`400 ${code}`)
})

test('policy and tags together must fit into the token', async () => {
  await using world = await startWorld()
  const random = Array.from({ length: 50 }, (_, index) => ({
    Key: `k${index}`,
    Value: Array.from({ length: 16 }, (__, n) =>
      Math.sin(index * 16 + n + 1)
        .toString(36)
        .slice(3, 13),
    ).join(''),
  }))
  expect(await refused(world, { Tags: random })).toBe('400 PackedPolicyTooLarge')
  expect((await ask(world, { Tags: random.slice(0, 5) })).PackedPolicySize).toBeLessThanOrEqual(100)
})

test('a role that trusts the account lets in whom a policy of their own allows it', async () => {
  await using world = await startWithTrust(trusting(root, ['sts:AssumeRole']))
  expect(await refused(world, {})).toBe('not refused')
  expect(await refused(world, {}, STRANGER)).toBe('403 AccessDenied')
})

test('a role that trusts a user by name lets in that user alone', async () => {
  await using world = await startWithTrust(trusting(stranger, ['sts:AssumeRole']))
  expect(await refused(world, {}, STRANGER)).toBe('not refused')
  expect(await refused(world, {}, BROKER)).toBe('403 AccessDenied')
})

test('a role that does not exist looks like one that is not for the caller', async () => {
  await using world = await startWorld()
  await expect(ask(world, { RoleArn: arnOf('nobody') })).rejects.toThrow(
    `User: ${broker} is not authorized to perform: sts:AssumeRole on resource: ${arnOf('nobody')}`,
  )
})

test('tags and a source identity take a permission each', async () => {
  await using plain = await startWithTrust(trusting(root, ['sts:AssumeRole']))
  await expect(ask(plain, { Tags: tags(1) })).rejects.toThrow('sts:TagSession')
  await expect(ask(plain, { SourceIdentity: 'task-1' })).rejects.toThrow('sts:SetSourceIdentity')
  await using tagging = await startWithTrust(trusting(root, ['sts:AssumeRole', 'sts:TagSession']))
  expect(await refused(tagging, { Tags: tags(1) })).toBe('not refused')
  expect(await refused(tagging, { Tags: tags(1), SourceIdentity: 'task-1' })).toBe('403 AccessDenied')
})

test('a role can ask for its external id, and for a name, a tag and a source identity', async () => {
  const actions = ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity']
  await using world = await startWithTrust(
    trusting(root, actions, {
      StringEquals: { 'sts:ExternalId': 'our-id', 'aws:RequestTag/team': 'a' },
      StringLike: { 'sts:RoleSessionName': 'task-*', 'sts:SourceIdentity': 'task-*' },
    }),
  )
  const right = { ExternalId: 'our-id', Tags: [{ Key: 'team', Value: 'a' }], SourceIdentity: 'task-1' }
  expect(await refused(world, right)).toBe('not refused')
  const { ExternalId: _, ...none } = right
  expect(await refused(world, none)).toBe('403 AccessDenied')
  expect(await refused(world, { ...right, ExternalId: 'other' })).toBe('403 AccessDenied')
  expect(await refused(world, { ...right, RoleSessionName: 'x-1' })).toBe('403 AccessDenied')
  expect(await refused(world, { ...right, Tags: tags(1) })).toBe('403 AccessDenied')
  expect(await refused(world, { ...right, SourceIdentity: 'other' })).toBe('403 AccessDenied')
})

async function startChain(): Promise<World> {
  const trust = trusting(root, ['sts:AssumeRole', 'sts:SetSourceIdentity'])
  const base = allow(['sts:AssumeRole', 'sts:SetSourceIdentity'], '*')
  const role = (name: string): RoleOptions => ({
    name,
    trust,
    policies: { base },
    maxSessionDurationSeconds: 43_200,
  })
  return startWorld({ roles: [role('first'), role('second')] })
}

test('a session that assumes a role gets an hour at most', async () => {
  await using world = await startChain()
  const first = await assume(world, { RoleArn: arnOf('first'), DurationSeconds: 43_200 })
  const second = { RoleArn: arnOf('second'), DurationSeconds: 3601 }
  await expect(ask(world, second, first)).rejects.toThrow('1 hour session limit')
  expect(await refused(world, { ...second, DurationSeconds: 3600 }, first)).toBe('not refused')
})

test('a source identity goes from session to session and cannot be changed', async () => {
  await using world = await startChain()
  const first = await assume(world, { RoleArn: arnOf('first'), SourceIdentity: 'task-1' })
  const second = { RoleArn: arnOf('second') }
  expect((await ask(world, second, first)).SourceIdentity).toBe('task-1')
  expect(await refused(world, { ...second, SourceIdentity: 'task-2' }, first)).toBe('403 AccessDenied')
})

test('a session passes its source identity on only if its own role may, whatever the next role trusts', async () => {
  const actions = ['sts:AssumeRole', 'sts:SetSourceIdentity']
  const base = allow('sts:AssumeRole', '*')
  await using world = await startWorld({
    roles: [
      { name: 'first', trust: trusting(root, actions), policies: { base } },
      { name: 'second', trust: trusting(arnOf('first'), actions), policies: {} },
    ],
  })
  const second = { RoleArn: arnOf('second') }
  const plain = await assume(world, { RoleArn: arnOf('first') })
  expect(await refused(world, second, plain)).toBe('not refused')
  const identified = await assume(world, { RoleArn: arnOf('first'), SourceIdentity: 'task-1' })
  expect(await refused(world, second, identified)).toBe('403 AccessDenied')
})

test('a session policy narrows whom a session may become', async () => {
  await using world = await startChain()
  const Policy = JSON.stringify(allow('s3:*', '*'))
  const narrow = await assume(world, { RoleArn: arnOf('first'), Policy })
  expect(await refused(world, { RoleArn: arnOf('second') }, narrow)).toBe('403 AccessDenied')
})

test('a session ends when its time is over, to the second', async () => {
  await using world = await startWorld()
  const session = await assume(world, { DurationSeconds: 900 })
  const identity = (): Promise<string> => refusalOf(sts(world, session).send(new GetCallerIdentityCommand()))
  world.time = session.expiration.getTime() - 1
  expect(await identity()).toBe('not refused')
  world.time = session.expiration.getTime()
  expect(await identity()).toBe('403 ExpiredToken')
  world.time += 30 * 86_400_000
  expect(await identity()).toBe('403 ExpiredToken')
})
