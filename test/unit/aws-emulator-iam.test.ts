import {
  DeleteRolePolicyCommand,
  GetRoleCommand,
  GetRolePolicyCommand,
  ListRolePoliciesCommand,
  PutRolePolicyCommand,
  type IAMClient,
  type ListRolePoliciesCommandInput,
  type ListRolePoliciesCommandOutput,
} from '@aws-sdk/client-iam'
import { expect, test } from 'vitest'
import { allow, iam, refusalOf, startWorld, STRANGER } from './aws-emulator-steps.ts'

const reader = { RoleName: 'reader' }
const NOTHING = JSON.stringify(allow('s3:GetObject', '*'))

const put = (client: IAMClient, PolicyName: string, PolicyDocument = NOTHING): Promise<unknown> =>
  client.send(new PutRolePolicyCommand({ ...reader, PolicyName, PolicyDocument }))

/** A policy that counts for so many characters. */
function ofLength(length: number): string {
  const shape = (id: string): string => JSON.stringify({ Id: id, ...allow('s3:GetObject', '*') })
  return shape('x'.repeat(length - shape('').length))
}

test('a policy that was put is read back, encoded as AWS does, and can be deleted once', async () => {
  await using world = await startWorld()
  const client = iam(world)
  const text = JSON.stringify(allow(['s3:Get*'], "arn:aws:s3:::reports/(it's)!"), null, 2)
  await put(client, 'denials', text)
  const read = await client.send(new GetRolePolicyCommand({ ...reader, PolicyName: 'denials' }))
  expect(read.PolicyDocument).toContain('%27s%29%21')
  expect(decodeURIComponent(read.PolicyDocument ?? '')).toBe(text)
  expect(world.aws.rolePolicies('reader').get('denials')).toBe(text)
  const remove = (): Promise<unknown> =>
    client.send(new DeleteRolePolicyCommand({ ...reader, PolicyName: 'denials' }))
  await remove()
  expect(await refusalOf(remove())).toBe('404 NoSuchEntity')
  expect([...world.aws.rolePolicies('reader').keys()]).toEqual(['base'])
})

test('a role is told with its trust policy and limits', async () => {
  await using world = await startWorld()
  const { Role: role } = await iam(world).send(new GetRoleCommand(reader))
  expect(role?.Arn).toBe('arn:aws:iam::123456789012:role/reader')
  expect(role?.MaxSessionDuration).toBe(7200)
  expect(decodeURIComponent(role?.AssumeRolePolicyDocument ?? '')).toContain('"sts:AssumeRole"')
})

test('nothing can be done with a role without permission, nor found out about one', async () => {
  await using world = await startWorld()
  const [client, stranger] = [iam(world), iam(world, STRANGER)]
  expect(await refusalOf(put(stranger, 'mine'))).toBe('403 AccessDenied')
  expect(await refusalOf(stranger.send(new GetRoleCommand(reader)))).toBe('403 AccessDenied')
  expect(await refusalOf(client.send(new GetRoleCommand({ RoleName: 'nobody' })))).toBe('403 AccessDenied')
})

test('a role or policy that is not there is said to be missing', async () => {
  await using world = await startWorld({
    roles: [],
  })
  expect(await refusalOf(iam(world).send(new GetRoleCommand(reader)))).toBe('404 NoSuchEntity')
  await using full = await startWorld()
  const missing = new GetRolePolicyCommand({ ...reader, PolicyName: 'other' })
  expect(await refusalOf(iam(full).send(missing))).toBe('404 NoSuchEntity')
})

test.each([
  ['{', 'MalformedPolicyDocument'],
  ['{"Statement":[]}', 'MalformedPolicyDocument'],
  ['{"Statement":{"Effect":"Deny","Action":"*"}}', 'MalformedPolicyDocument'],
  ['{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Principal":"*"}}', 'MalformedPolicyDocument'],
  [
    '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Like":{}}}}',
    'MalformedPolicyDocument',
  ],
  [
    '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Like":{"aws:userid":"x"}}}}',
    'MalformedPolicyDocument',
  ],
  ['{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","__proto__":{}}}', 'MalformedPolicyDocument'],
  ['"\u{20AC}"', 'ValidationError'],
])('a policy that is not understood is not put: %s', async (text, code) => {
  await using world = await startWorld()
  const before = world.aws.rolePolicies('reader')
  expect(await refusalOf(put(iam(world), 'odd', text))).toBe(`400 ${code}`)
  expect(world.aws.rolePolicies('reader')).toEqual(before)
})

test('the name of a policy has only characters that AWS takes', async () => {
  await using world = await startWorld()
  expect(await refusalOf(put(iam(world), 'a b'))).toBe('400 ValidationError')
  expect(await refusalOf(put(iam(world), 'x'.repeat(129)))).toBe('400 ValidationError')
})

test('the inline policies of a role share 10,240 characters, white space not counted', async () => {
  await using world = await startWorld()
  const client = iam(world)
  const used = [...world.aws.rolePolicies('reader').values()].join('').length
  const room = 10_240 - used
  await put(client, 'one', `${ofLength(room)}${' '.repeat(5000)}`)
  await expect(put(client, 'two')).rejects.toThrow(
    'Maximum policy size of 10240 bytes exceeded for role reader',
  )
  expect(await refusalOf(put(client, 'one', ofLength(room + 1)))).toBe('409 LimitExceeded')
  // What a policy replaces does not count.
  await put(client, 'one', ofLength(room))
})

test('the policies of a role are listed in pages', async () => {
  await using world = await startWorld()
  const client = iam(world)
  for (const name of ['c', 'a', 'd']) await put(client, name)
  const list = (input: Partial<ListRolePoliciesCommandInput>): Promise<ListRolePoliciesCommandOutput> =>
    client.send(new ListRolePoliciesCommand({ ...reader, ...input }))
  const first = await list({ MaxItems: 2 })
  expect(first).toMatchObject({ PolicyNames: ['a', 'base'], IsTruncated: true })
  const second = await list({ MaxItems: 2, Marker: first.Marker ?? '' })
  expect(second).toMatchObject({ PolicyNames: ['c', 'd'], IsTruncated: false })
  expect(second.Marker).toBeUndefined()
  expect((await list({})).PolicyNames).toEqual(['a', 'base', 'c', 'd'])
  expect(await refusalOf(list({ MaxItems: 0 }))).toBe('400 ValidationError')
})

test('a page has 100 names unless another number is asked for', async () => {
  await using world = await startWorld({
    roles: [
      {
        name: 'reader',
        trust: { Statement: { Effect: 'Allow', Principal: '*', Action: 'sts:AssumeRole' } },
        policies: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`p${n}`, allow('s3:*', '*')])),
      },
    ],
  })
  const answer = await iam(world).send(new ListRolePoliciesCommand(reader))
  expect([answer.PolicyNames?.length, answer.IsTruncated]).toEqual([100, true])
})
