import { PutRolePolicyCommand } from '@aws-sdk/client-iam'
import { expect, test } from 'vitest'
import type { PolicyDocument, PolicyStatement } from '../../broker/dev/aws/policy-document.ts'
import {
  ACCOUNT,
  allow,
  arnOf,
  assume,
  BROKER,
  get,
  iam,
  startWorld,
  trusting,
  type World,
} from './aws-emulator-steps.ts'

const JUNE = '/reports/2026/june.csv'
const CONTENT = 'a,b\n1,2\n'
const READ_ONLY = 'arn:aws:iam::aws:policy/ReadOnly'

const deny = (condition: NonNullable<PolicyStatement['Condition']>): PolicyDocument => ({
  Version: '2012-10-17',
  Statement: { Effect: 'Deny', Action: '*', Resource: '*', Condition: condition },
})

async function putOnReader(world: World, policy: PolicyDocument): Promise<void> {
  const PolicyDocument = JSON.stringify(policy)
  await iam(world).send(
    new PutRolePolicyCommand({ RoleName: 'reader', PolicyName: 'denials', PolicyDocument }),
  )
}

test('a session reads what its role may read, and nothing else', async () => {
  await using world = await startWorld()
  const session = await assume(world)
  expect(await get(world, JUNE, session)).toBe(CONTENT)
  expect(await get(world, JUNE, session, { query: { 'x-id': 'GetObject' } })).toBe(CONTENT)
  expect(await get(world, '/private/x', session)).toBe('403 AccessDenied')
  expect(await get(world, JUNE, BROKER)).toBe('403 AccessDenied')
})

test('a key may have characters that are encoded on the way', async () => {
  await using world = await startWorld()
  expect(await get(world, '/reports/a%20b%2B%C3%BC%281%29.txt', await assume(world))).toBe('odd')
})

test('only who may list a bucket learns that a key is missing', async () => {
  await using world = await startWorld({
    roles: [
      {
        name: 'reader',
        trust: trusting(`arn:aws:iam::${ACCOUNT}:root`, ['sts:AssumeRole']),
        policies: { base: allow('s3:*', ['arn:aws:s3:::reports', 'arn:aws:s3:::reports/*']) },
      },
    ],
  })
  const session = await assume(world)
  expect(await get(world, '/reports/missing', session)).toBe('404 NoSuchKey')
  await using narrow = await startWorld()
  expect(await get(narrow, '/reports/missing', await assume(narrow))).toBe('403 AccessDenied')
})

test('a session ends when its time is over, whatever its role allows', async () => {
  await using world = await startWorld()
  const session = await assume(world, { DurationSeconds: 900 })
  world.time = session.expiration.getTime()
  expect(await get(world, JUNE, session)).toBe('400 ExpiredToken')
})

test('a session policy with a date ends a session before its time', async () => {
  await using world = await startWorld()
  const end = new Date(world.time + 60_000)
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Action: '*',
      Resource: '*',
      Condition: { DateLessThan: { 'aws:CurrentTime': end.toISOString() } },
    },
  })
  const session = await assume(world, { Policy })
  world.time = end.getTime() - 1
  expect(await get(world, JUNE, session)).toBe(CONTENT)
  world.time = end.getTime()
  expect(await get(world, JUNE, session)).toBe('403 AccessDenied')
})

test('a denial that is put on a role ends the session that it names at once, and no other', async () => {
  await using world = await startWorld()
  const [one, other] = [await assume(world), await assume(world, { RoleSessionName: 'task-2' })]
  await putOnReader(world, deny({ StringEquals: { 'aws:userid': one.id } }))
  expect(await get(world, JUNE, one)).toBe('403 AccessDenied')
  expect(await get(world, JUNE, other)).toBe(CONTENT)
  await putOnReader(world, deny({ StringEquals: { 'aws:userid': `${one.id}-other` } }))
  expect(await get(world, JUNE, one)).toBe(CONTENT)
})

test('a denial of what was issued before a time ends old sessions only', async () => {
  await using world = await startWorld()
  const old = await assume(world)
  world.time += 5000
  await putOnReader(world, deny({ DateLessThan: { 'aws:TokenIssueTime': '2026-06-01T12:00:05Z' } }))
  expect(await get(world, JUNE, old)).toBe('403 AccessDenied')
  expect(await get(world, JUNE, await assume(world))).toBe(CONTENT)
})

test('tags and source identity of a session can decide', async () => {
  await using world = await startWorld()
  const one = await assume(world, { Tags: [{ Key: 'task', Value: 't-1' }] })
  const other = await assume(world, { SourceIdentity: 'task-2' })
  await putOnReader(world, deny({ StringEquals: { 'aws:PrincipalTag/Task': 't-1' } }))
  expect([await get(world, JUNE, one), await get(world, JUNE, other)]).toEqual(['403 AccessDenied', CONTENT])
  await putOnReader(world, deny({ StringLike: { 'aws:SourceIdentity': 'task-*' } }))
  expect([await get(world, JUNE, one), await get(world, JUNE, other)]).toEqual([CONTENT, '403 AccessDenied'])
})

test('a session with only a denial of its own needs a managed policy to be able to do anything', async () => {
  await using world = await startWorld({
    managedPolicies: { [READ_ONLY]: allow('s3:Get*', '*') },
  })
  const Policy = JSON.stringify(deny({ StringEquals: { 'aws:userid': 'nobody' } }))
  expect(await get(world, JUNE, await assume(world, { Policy }))).toBe('403 AccessDenied')
  const both = await assume(world, { Policy, PolicyArns: [{ arn: READ_ONLY }] })
  expect(await get(world, JUNE, both)).toBe(CONTENT)
  // A session policy only ever narrows what the role may do.
  expect(await get(world, '/private/x', both)).toBe('403 AccessDenied')
})

test('an attached policy counts like an inline one', async () => {
  await using world = await startWorld({
    managedPolicies: { [READ_ONLY]: allow('s3:Get*', '*') },
    roles: [
      {
        name: 'other',
        trust: trusting(`arn:aws:iam::${ACCOUNT}:root`, ['sts:AssumeRole']),
        policies: {},
        attached: [READ_ONLY],
      },
    ],
  })
  expect(await get(world, '/private/x', await assume(world, { RoleArn: arnOf('other') }))).toBe('x')
})
