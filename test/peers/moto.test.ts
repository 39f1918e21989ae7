import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  CreateRoleCommand,
  GetRolePolicyCommand,
  IAMClient,
  ListRolePoliciesCommand,
  PutRolePolicyCommand,
} from '@aws-sdk/client-iam'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { contextOf } from '../../broker/dev/aws/policy-conditions.ts'
import { parsePolicy } from '../../broker/dev/aws/policy-document.ts'
import { evaluate } from '../../broker/dev/aws/policy-evaluation.ts'
import { apiOf, type Api } from '../support/api.ts'
import { startBrokerProcess, taskgrant, type BrokerProcess } from '../support/broker-process.ts'
import { freePort } from '../support/free-port.ts'
import { createWorld, type World } from '../support/world.ts'

/** An AWS that we did not write: https://docs.getmoto.org */

const ROLE = 'reports-reader'
const ROLE_ARN = `arn:aws:iam::123456789012:role/${ROLE}`
const KEYS = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'of-the-broker' }
const ALLOW_ALL = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }] }

let moto: ChildProcess
let endpoint: string
let iam: IAMClient
let world: World
let broker: BrokerProcess
let agent: Api
let admin: Api

beforeAll(async () => {
  const port = await freePort()
  endpoint = `http://127.0.0.1:${port}`
  const program = process.env['TASKGRANT_TEST_MOTO'] ?? 'moto_server'
  moto = spawn(program, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  await untilUp(endpoint)
  iam = new IAMClient({ region: 'eu-west-1', endpoint, credentials: { ...KEYS } })
  const trust = {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { AWS: 'arn:aws:iam::123456789012:root' },
        Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'],
      },
    ],
  }
  await iam.send(new CreateRoleCommand({ RoleName: ROLE, AssumeRolePolicyDocument: JSON.stringify(trust) }))
  await iam.send(
    new PutRolePolicyCommand({
      RoleName: ROLE,
      PolicyName: 'operators-own',
      PolicyDocument: JSON.stringify(ALLOW_ALL),
    }),
  )
  world = await createWorld()
  await world.configure({
    resources: {
      'reports-bucket': {
        adapter: 'aws-sts',
        region: 'eu-west-1',
        endpoint,
        credentials: KEYS,
        access: { read: { roleArn: ROLE_ARN } },
      },
    },
  })
  broker = await startBrokerProcess(world.configFile)
  agent = apiOf(broker.url, await world.token('mcp-orders'))
  admin = apiOf(broker.url, await world.token('admin-alert'))
}, 90_000)

afterAll(async () => {
  // First, so that it does not stay when the others were never started.
  moto.kill('SIGTERM')
  await once(moto, 'close')
  await broker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

async function untilUp(url: string): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    const isUp = await fetch(url).then(
      () => true,
      () => false,
    )
    if (isUp) return
    await delay(100)
  }
  throw new Error('moto does not start: set TASKGRANT_TEST_MOTO to its moto_server')
}

interface Session {
  readonly taskId: string
  readonly sessionName: string
  readonly credential: {
    accessKeyId: string
    secretAccessKey: string
    sessionToken: string
    expiration: string
  }
}

async function open(ttlSeconds = 600): Promise<Session> {
  const grants = [{ resource: 'reports-bucket', access: 'read', ttlSeconds }]
  const answer = await agent('POST', '/v1/tasks', { purpose: 'read the reports', grants })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  const [{ grant, credential }] = answer.body.grants
  expect(credential.expiration).toBe(grant.expiresAt)
  return { taskId: answer.body.task.id, sessionName: grant.handle.sessionName, credential }
}

/** The denials on the role: whatever is there besides the operator's own policy. */
async function denials(): Promise<string[]> {
  const { PolicyNames = [] } = await iam.send(new ListRolePoliciesCommand({ RoleName: ROLE }))
  expect(PolicyNames).toContain('operators-own')
  const ours = PolicyNames.filter((name) => name !== 'operators-own')
  return Promise.all(
    ours.map(async (PolicyName) => {
      const policy = await iam.send(new GetRolePolicyCommand({ RoleName: ROLE, PolicyName }))
      return decodeURIComponent(policy.PolicyDocument ?? '')
    }),
  )
}

async function isAllowed(userId: string): Promise<boolean> {
  const policies = [JSON.stringify(ALLOW_ALL), ...(await denials())].map((text) =>
    parsePolicy(text, 'identity'),
  )
  const request = {
    action: 's3:GetObject',
    resource: 'arn:aws:s3:::reports/2026-01.csv',
    context: contextOf({ 'aws:userid': userId }),
  }
  return evaluate(policies, request) === 'allowed'
}

async function userIdOf({ credential }: Session): Promise<string> {
  const { accessKeyId, secretAccessKey, sessionToken } = credential
  const credentials = { accessKeyId, secretAccessKey, sessionToken }
  const sts = new STSClient({ region: 'eu-west-1', endpoint, credentials })
  const { Arn = '', UserId = '' } = await sts.send(new GetCallerIdentityCommand({}))
  expect(Arn).toContain(`:assumed-role/${ROLE}/`)
  return UserId
}

it('gives a session under the name of its grant, and denies exactly that one when its task is revoked', async () => {
  const [one, other] = [await open(), await open()]
  const [oneId, otherId] = [await userIdOf(one), await userIdOf(other)]
  expect(oneId.split(':')[1]).toBe(one.sessionName)
  expect([await isAllowed(oneId), await isAllowed(otherId)]).toEqual([true, true])
  const revoked = await admin('POST', `/v1/tasks/${one.taskId}/revoke`, { reason: 'alert' })
  expect([revoked.status, revoked.body.state]).toEqual([200, 'ended'])
  expect([await isAllowed(oneId), await isAllowed(otherId)]).toEqual([false, true])
})

it('keeps the denials of many tasks apart from what operators put on the role', async () => {
  const sessions = await Promise.all(Array.from({ length: 12 }, () => open()))
  const ids = await Promise.all(sessions.map(userIdOf))
  await Promise.all(
    sessions.map(({ taskId }) => admin('POST', `/v1/tasks/${taskId}/revoke`, { reason: 'alert' })),
  )
  for (const id of ids) expect(await isAllowed(id)).toBe(false)
  expect((await denials()).join('')).not.toContain('s3:')
})

it('is over for cron when nothing is due', async () => {
  const reaped = await taskgrant(['reap', '--once', '--json', '-c', world.configFile])
  expect(reaped.code, reaped.stderr).toBe(0)
})
