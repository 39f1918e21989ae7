import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { PutRolePolicyCommand } from '@aws-sdk/client-iam'
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts'
import { expect, test } from 'vitest'
import { startAwsEmulator } from '../../broker/dev/aws/start-aws-emulator.ts'
import {
  allow,
  BROKER,
  iam,
  refusalOf,
  send,
  signed,
  startWorld,
  sts,
  type World,
} from './aws-emulator-steps.ts'

const identity = (world: World, signal?: AbortSignal): Promise<string> =>
  refusalOf(
    sts(world).send(new GetCallerIdentityCommand(), signal === undefined ? {} : { abortSignal: signal }),
  )

async function post(world: World, body: string, contentType = 'application/x-www-form-urlencoded') {
  const headers = { 'content-type': contentType }
  return send(world, await signed(world, 'POST', '/', BROKER, { service: 'sts', body, headers }))
}

test('an injected refusal meets as many calls of its action as it was asked to', async () => {
  await using world = await startWorld()
  world.aws.failNext('GetCallerIdentity', 'throttling', 2)
  world.aws.failNext('GetCallerIdentity', { status: 418, code: 'Own', message: 'mine' })
  world.aws.failNext('GetRole', 'unavailable')
  expect([
    await identity(world),
    await identity(world),
    await identity(world),
    await identity(world),
  ]).toEqual(['400 Throttling', '400 Throttling', '418 Own', 'not refused'])
  expect(world.aws.calls.map(({ error }) => error)).toEqual(['Throttling', 'Throttling', 'Own', undefined])
})

test('a call that hangs ends with its caller', async () => {
  await using world = await startWorld()
  world.aws.failNext('GetCallerIdentity', 'hang')
  const waiting = identity(world, AbortSignal.timeout(200))
  expect(await waiting).toContain('AbortError')
  expect(world.aws.calls.at(-1)?.error).toBe('hang')
})

test('closing ends a call that hangs', async () => {
  const world = await startWorld()
  world.aws.failNext('GetCallerIdentity', 'hang')
  const waiting = identity(world)
  await expect.poll(() => world.aws.calls.length).toBe(1)
  await world.aws.close()
  expect(await waiting).not.toBe('not refused')
  await world.aws.close()
})

test('an answer that is lost leaves its effect', async () => {
  await using world = await startWorld()
  world.aws.failNext('PutRolePolicy', 'lostAnswer')
  const document = JSON.stringify(allow('s3:*', '*'))
  const put = new PutRolePolicyCommand({ RoleName: 'reader', PolicyName: 'p', PolicyDocument: document })
  expect(await refusalOf(iam(world).send(put))).not.toBe('not refused')
  expect(world.aws.rolePolicies('reader').get('p')).toBe(document)
})

test('what is malformed gets an error of AWS, not a stack trace', async () => {
  await using world = await startWorld()
  const odd = [
    await post(world, 'Version=2011-06-15'),
    await post(world, 'Action=Nothing&Version=2011-06-15'),
    await post(world, 'Action=toString&Version=2011-06-15'),
    await post(world, 'Action=__proto__&Version=2011-06-15'),
    await post(world, 'Action=GetCallerIdentity&Version=2010-05-08'),
    await post(world, 'Action=GetCallerIdentity&Action=AssumeRole&Version=2011-06-15'),
    await post(world, 'Action=AssumeRole&Version=2011-06-15'),
    await post(world, 'Action=AssumeRole&Version=2011-06-15&Tags.member.2.Key=x'),
    await post(world, Array.from({ length: 201 }, (_, n) => `a${n}=`).join('&')),
    await post(world, '{"Action":"GetCallerIdentity"}', 'application/json'),
    await send(world, await signed(world, 'PUT', '/reports/x', BROKER, { body: 'x' })),
    await send(world, await signed(world, 'GET', '/', BROKER)),
    await send(world, await signed(world, 'GET', '/reports/x', BROKER, { query: { acl: '' } })),
  ]
  expect(odd.map(({ status, code }) => `${status} ${code}`)).toEqual([
    '400 MissingAction',
    '400 InvalidAction',
    '400 InvalidAction',
    '400 InvalidAction',
    '400 InvalidAction',
    '400 InvalidQueryParameter',
    '400 ValidationError',
    '400 ValidationError',
    '400 InvalidQueryParameter',
    '400 MalformedHttpRequestException',
    '405 MethodNotAllowed',
    '405 MethodNotAllowed',
    '400 InvalidRequest',
  ])
  for (const { body } of odd) expect(body).not.toMatch(/\n +at |\.ts\b/)
})

test('a body over 256 KiB is refused', async () => {
  await using world = await startWorld()
  const { status, code } = await post(world, 'x'.repeat(256 * 1024 + 1))
  expect([status, code]).toEqual([413, 'RequestEntityTooLarge'])
})

test('what is sent back in an error is escaped', async () => {
  await using world = await startWorld()
  const { body } = await post(world, 'Action=%3Cb%3E%26%22%00&Version=2011-06-15')
  expect(body).toContain('operation &lt;b&gt;&amp;&quot;\u{FFFD} for')
})

test('what is not HTTP is answered and cut off', async () => {
  await using world = await startWorld()
  const socket = connect(Number(new URL(world.aws.url).port), '127.0.0.1')
  socket.end('nonsense\r\n\r\n')
  expect(await text(socket)).toMatch(/^HTTP\/1.1 400 .*MalformedHttpRequestException/s)
})

test('the calls that are kept are the last thousand', async () => {
  await using world = await startWorld()
  for (let n = 0; n < 1001; n += 100) {
    const some = Array.from({ length: 100 }, () => post(world, 'Action=X&Version=1'))
    await Promise.all(some)
  }
  expect(world.aws.calls).toHaveLength(1000)
})

test('a port that is taken, and an account that could not exist, are told at the start', async () => {
  await using world = await startWorld()
  const port = Number(new URL(world.aws.url).port)
  const empty = { region: 'eu-west-1', users: [], roles: [] }
  await expect(startAwsEmulator({ ...empty, port })).rejects.toThrow('the port is taken')
  await expect(startAwsEmulator({ ...empty, accountId: '1' })).rejects.toThrow('1 cannot be the id')
})
