import { GetRoleCommand } from '@aws-sdk/client-iam'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { expect, test } from 'vitest'
import { sha256, signatureOf } from '../../broker/dev/aws/signature.ts'
import {
  assume,
  BROKER,
  get,
  iam,
  REGION,
  refusalOf,
  send,
  signed,
  startWorld,
  STRANGER,
  sts,
  type Keys,
  type Signing,
  type Wire,
  type World,
} from './aws-emulator-steps.ts'

const IDENTITY = 'Action=GetCallerIdentity&Version=2011-06-15'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const OBJECT = '/reports/2026/june.csv'
const MINUTE = 60_000

async function whoAmI(
  world: World,
  keys: Keys = BROKER,
  signing: Signing = {},
  change: (wire: Wire) => void = () => undefined,
): Promise<string> {
  const wire = await signed(world, 'POST', '/', keys, {
    service: 'sts',
    body: IDENTITY,
    headers: FORM,
    ...signing,
  })
  change(wire)
  const { status, code } = await send(world, wire)
  return code === undefined ? String(status) : `${status} ${code}`
}

test("the example of AWS's guide to signing gets the signature of the guide", () => {
  const time = '20150830T123600Z'
  const request = {
    method: 'GET',
    target: '/?Action=ListUsers&Version=2010-05-08',
    headers: {
      'content-type': ['application/x-www-form-urlencoded; charset=utf-8'],
      host: ['iam.amazonaws.com'],
      'x-amz-date': [time],
    },
    body: Buffer.alloc(0),
  }
  const signature = signatureOf(request, {
    scope: { date: '20150830', region: 'us-east-1', service: 'iam' },
    signedHeaders: ['content-type', 'host', 'x-amz-date'],
    time,
    payloadHash: sha256(''),
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  })
  expect(signature).toBe('5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7')
})

test("the example of S3's reference gets the signature of the reference", () => {
  const time = '20130524T000000Z'
  const request = {
    method: 'GET',
    target: '/test.txt',
    headers: {
      host: ['examplebucket.s3.amazonaws.com'],
      range: ['bytes=0-9'],
      'x-amz-content-sha256': [sha256('')],
      'x-amz-date': [time],
    },
    body: Buffer.alloc(0),
  }
  const signature = signatureOf(request, {
    scope: { date: '20130524', region: 'us-east-1', service: 's3' },
    signedHeaders: ['host', 'range', 'x-amz-content-sha256', 'x-amz-date'],
    time,
    payloadHash: sha256(''),
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  })
  expect(signature).toBe('f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41')
})

test('the SDK is understood: STS and IAM with the keys of a user and of a session', async () => {
  await using world = await startWorld()
  const identity = await sts(world).send(new GetCallerIdentityCommand())
  expect(identity.Arn).toBe('arn:aws:iam::123456789012:user/broker')
  expect(identity.UserId).toMatch(/^AIDA[A-Z2-7]{17}$/)
  const role = await iam(world).send(new GetRoleCommand({ RoleName: 'reader' }))
  expect(role.Role?.RoleId).toMatch(/^AROA[A-Z2-7]{17}$/)
  const session = await assume(world)
  const own = await sts(world, session).send(new GetCallerIdentityCommand())
  expect([own.Arn, own.UserId, own.Account]).toEqual([
    'arn:aws:sts::123456789012:assumed-role/reader/task-1',
    `${role.Role?.RoleId}:task-1`,
    '123456789012',
  ])
})

test('a key that nobody has, or a wrong secret, lets nobody in', async () => {
  await using world = await startWorld()
  const unknown = { ...BROKER, accessKeyId: 'AKIANOBODYNOBODY' }
  const wrong = { ...BROKER, secretAccessKey: STRANGER.secretAccessKey }
  expect(await whoAmI(world, unknown)).toBe('403 InvalidClientTokenId')
  expect(await whoAmI(world, wrong)).toBe('403 SignatureDoesNotMatch')
  expect(await get(world, OBJECT, unknown)).toBe('403 InvalidAccessKeyId')
  expect(await get(world, OBJECT, wrong)).toBe('403 SignatureDoesNotMatch')
  expect(await refusalOf(sts(world, wrong).send(new GetCallerIdentityCommand()))).toBe(
    '403 SignatureDoesNotMatch',
  )
})

test('whatever is changed after signing breaks the signature', async () => {
  await using world = await startWorld()
  const changes: ((wire: Wire) => void)[] = [
    (wire) => (wire.body = `${IDENTITY}&x=y`),
    (wire) => (wire.path = '/?x=y'),
    (wire) => (wire.path = '/x'),
    (wire) => (wire.path = '/%zz'),
    (wire) => (wire.method = 'PUT'),
    (wire) => (wire.headers['host'] = 'sts.amazonaws.com'),
    (wire) => (wire.headers['content-type'] = 'text/plain'),
    (wire) => (wire.headers['x-amz-content-sha256'] = sha256('other')),
  ]
  for (const change of changes) {
    expect(await whoAmI(world, BROKER, {}, change)).toMatch(/^403 (SignatureDoesNotMatch|AccessDenied)$/)
  }
  const wire = await signed(world, 'GET', '/reports/x', BROKER)
  expect((await send(world, { ...wire, path: OBJECT })).code).toBe('SignatureDoesNotMatch')
  expect(
    (await send(world, { ...wire, headers: { ...wire.headers, 'content-length': '1' }, body: 'x' })).code,
  ).toBe('XAmzContentSHA256Mismatch')
})

test('a header of AWS that was added after signing, or sent twice, is not taken', async () => {
  await using world = await startWorld()
  const answer = await whoAmI(world, BROKER, {}, (wire) => (wire.headers['x-amz-added'] = '1'))
  expect(answer).toBe('403 SignatureDoesNotMatch')
  const twice = await whoAmI(world, BROKER, {}, (wire) => {
    wire.headers['x-amz-date'] = [String(wire.headers['x-amz-date']), '20260601T120000Z']
  })
  expect(twice).toBe('400 IncompleteSignature')
})

test('a request without signature, or with half of one, is nobody’s', async () => {
  await using world = await startWorld()
  const none = await whoAmI(world, BROKER, {}, (wire) => delete wire.headers['authorization'])
  expect(none).toBe('403 MissingAuthenticationToken')
  const odd = await whoAmI(
    world,
    BROKER,
    {},
    (wire) => (wire.headers['authorization'] = 'AWS4-HMAC-SHA256 x'),
  )
  expect(odd).toBe('400 IncompleteSignature')
  const path = await send(world, { method: 'GET', path: OBJECT, headers: {}, body: '' })
  expect([path.status, path.code]).toEqual([403, 'AccessDenied'])
})

test('a signature for another region or service does not count', async () => {
  await using world = await startWorld()
  expect(await whoAmI(world, BROKER, { region: 'us-east-1' })).toBe('403 SignatureDoesNotMatch')
  expect(await whoAmI(world, BROKER, { service: 'ec2' })).toBe('403 SignatureDoesNotMatch')
  // An action of STS, signed for IAM.
  expect(await whoAmI(world, BROKER, { service: 'iam' })).toBe('400 InvalidAction')
  expect(await get(world, OBJECT, BROKER, { region: 'us-east-1' })).toBe('400 AuthorizationHeaderMalformed')
})

test.each([
  [-15 * MINUTE, '200'],
  [-15 * MINUTE - 1000, '403 SignatureDoesNotMatch'],
  [15 * MINUTE, '200'],
  [15 * MINUTE + 1000, '403 SignatureDoesNotMatch'],
])('a signature counts for a quarter of an hour around its time: %i ms', async (skew, expected) => {
  await using world = await startWorld()
  world.time = Math.floor(world.time / 1000) * 1000
  expect(await whoAmI(world, BROKER, { signedAt: world.time + skew })).toBe(expected)
})

test('a client of the SDK whose clock is wrong takes the time from the answer and repeats its call', async () => {
  await using world = await startWorld()
  const client = new STSClient({
    region: REGION,
    endpoint: world.aws.url,
    credentials: BROKER,
    maxAttempts: 2,
  })
  const { Account: account } = await client.send(new GetCallerIdentityCommand())
  expect(account).toBe('123456789012')
})

test('S3 has a name of its own for a clock that is wrong', async () => {
  await using world = await startWorld()
  const answer = await get(world, OBJECT, BROKER, { signedAt: world.time - 16 * MINUTE })
  expect(answer).toBe('403 RequestTimeTooSkewed')
})

test('the keys of a session are nothing without its token, or with that of another', async () => {
  await using world = await startWorld()
  const [session, other] = [await assume(world), await assume(world)]
  const { accessKeyId, secretAccessKey, sessionToken } = session
  const odd: Keys[] = [
    { accessKeyId, secretAccessKey },
    { accessKeyId, secretAccessKey, sessionToken: other.sessionToken ?? '' },
    { accessKeyId, secretAccessKey, sessionToken: `${sessionToken?.slice(0, -4)}AAAA` },
    { accessKeyId, secretAccessKey, sessionToken: 'x' },
    { ...BROKER, sessionToken: sessionToken ?? '' },
  ]
  for (const keys of odd) expect(await whoAmI(world, keys)).toBe('403 InvalidClientTokenId')
  expect(await whoAmI(world, { ...session, secretAccessKey: other.secretAccessKey })).toBe(
    '403 SignatureDoesNotMatch',
  )
  expect(await get(world, OBJECT, odd[1] ?? BROKER)).toBe('400 InvalidToken')
  expect(await whoAmI(world, session)).toBe('200')
})

test('a token of one emulator opens nothing on another', async () => {
  await using world = await startWorld()
  await using other = await startWorld()
  expect(await whoAmI(other, await assume(world))).toBe('403 InvalidClientTokenId')
})

test('a token must be signed too', async () => {
  await using world = await startWorld()
  const { accessKeyId, secretAccessKey, sessionToken } = await assume(world)
  const answer = await whoAmI(world, { accessKeyId, secretAccessKey }, {}, (wire) => {
    wire.headers['x-amz-security-token'] = sessionToken ?? ''
  })
  expect(answer).toBe('403 SignatureDoesNotMatch')
})

test('a payload may go unsigned on S3 only', async () => {
  await using world = await startWorld()
  const headers = { ...FORM, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
  const session = await assume(world)
  expect(await get(world, OBJECT, session, { headers })).toBe('a,b\n1,2\n')
  expect(await whoAmI(world, BROKER, { headers })).toBe('403 SignatureDoesNotMatch')
})
