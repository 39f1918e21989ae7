import { request as httpRequest } from 'node:http'
import { text } from 'node:stream/consumers'
import { IAMClient } from '@aws-sdk/client-iam'
import { AssumeRoleCommand, STSClient, type AssumeRoleCommandInput } from '@aws-sdk/client-sts'
import { SignatureV4 } from '@smithy/signature-v4'
import type { AwsEmulator, EmulatorOptions } from '../../broker/dev/aws/options.ts'
import type { PolicyDocument } from '../../broker/dev/aws/policy-document.ts'
import { startAwsEmulator } from '../../broker/dev/aws/start-aws-emulator.ts'
import { Secret } from '../../broker/secret.ts'
import { Sha256 } from '../../scripts/demo/signed-get.ts'

export interface Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export const REGION = 'eu-west-1'
export const ACCOUNT = '123456789012'
/** May assume `reader`, and keep its inline policies. */
export const BROKER: Keys = { accessKeyId: 'AKIABROKERBROKER', secretAccessKey: 'secret-of-the-broker' }
/** May do nothing by its own policies. */
export const STRANGER: Keys = { accessKeyId: 'AKIASTRANGER1234', secretAccessKey: 'secret-of-the-stranger' }

export const arnOf = (role: string): string => `arn:aws:iam::${ACCOUNT}:role/${role}`

export const allow = (action: string | string[], resource: string | string[]): PolicyDocument => ({
  Version: '2012-10-17',
  Statement: { Effect: 'Allow', Action: action, Resource: resource },
})

/** A trust policy. */
export const trusting = (
  principal: string,
  actions: string[],
  condition: Record<string, Record<string, string>> = {},
): PolicyDocument => ({
  Version: '2012-10-17',
  Statement: { Effect: 'Allow', Principal: { AWS: principal }, Action: actions, Condition: condition },
})

const ASSUME = ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity']

export interface World extends AsyncDisposable {
  readonly aws: AwsEmulator
  /** Stands still unless it is moved. */
  time: number
}

export async function startWorld(changes: Partial<EmulatorOptions> = {}): Promise<World> {
  const clock = { time: Date.parse('2026-06-01T12:00:00.250Z') }
  const user = (name: string, keys: Keys, policies: PolicyDocument[]): EmulatorOptions['users'][number] => ({
    name,
    accessKeyId: keys.accessKeyId,
    secretAccessKey: new Secret(keys.secretAccessKey),
    policies,
  })
  const aws = await startAwsEmulator({
    region: REGION,
    users: [
      user('broker', BROKER, [allow(ASSUME, '*'), allow('iam:*', arnOf('reader'))]),
      user('stranger', STRANGER, []),
    ],
    roles: [
      {
        name: 'reader',
        trust: trusting(`arn:aws:iam::${ACCOUNT}:root`, ASSUME),
        policies: { base: allow('s3:GetObject', 'arn:aws:s3:::reports/*') },
        maxSessionDurationSeconds: 7200,
      },
    ],
    objects: { 'reports/2026/june.csv': 'a,b\n1,2\n', 'reports/a b+ü(1).txt': 'odd', 'private/x': 'x' },
    now: () => new Date(clock.time),
    ...changes,
  })
  return {
    aws,
    get time() {
      return clock.time
    },
    set time(next) {
      clock.time = next
    },
    [Symbol.asyncDispose]: () => aws[Symbol.asyncDispose](),
  }
}

export const sts = (world: World, keys = BROKER): STSClient => new STSClient(clientConfig(world, keys))
export const iam = (world: World, keys = BROKER): IAMClient => new IAMClient(clientConfig(world, keys))

function clientConfig(world: World, keys: Keys) {
  return {
    region: REGION,
    endpoint: world.aws.url,
    credentials: keys,
    maxAttempts: 1,
    systemClockOffset: world.time - Date.now(),
  }
}

export const ASSUME_READER = { RoleArn: arnOf('reader'), RoleSessionName: 'task-1' }

export async function assume(
  world: World,
  input: Partial<AssumeRoleCommandInput> = {},
  keys = BROKER,
): Promise<Keys & { readonly id: string; readonly expiration: Date }> {
  const answer = await sts(world, keys).send(new AssumeRoleCommand({ ...ASSUME_READER, ...input }))
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = answer.Credentials ?? {}
  return {
    accessKeyId: AccessKeyId ?? '',
    secretAccessKey: SecretAccessKey ?? '',
    sessionToken: SessionToken ?? '',
    id: answer.AssumedRoleUser?.AssumedRoleId ?? '',
    expiration: Expiration ?? new Date(NaN),
  }
}

/** Status and code of what must be refused. */
export async function refusalOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'not refused',
    (error: Error & { $metadata?: { httpStatusCode?: number }; Code?: string }) =>
      `${error.$metadata?.httpStatusCode} ${error.Code ?? error.name}`,
  )
}

export interface Wire {
  method: string
  path: string
  headers: Record<string, string | string[]>
  body: string
}

export interface Signing {
  readonly service?: string
  readonly region?: string
  readonly signedAt?: number
  readonly body?: string
  readonly headers?: Record<string, string>
  readonly query?: Record<string, string>
}

/** A request signed by the SDK's own signer, for a test to change before it is sent. */
export async function signed(
  world: World,
  method: string,
  path: string,
  keys: Keys,
  {
    service = 's3',
    region = REGION,
    signedAt = world.time,
    body = '',
    headers = {},
    query = {},
  }: Signing = {},
): Promise<Wire> {
  const { hostname, port, host } = new URL(world.aws.url)
  const signer = new SignatureV4({
    service,
    region,
    credentials: keys,
    sha256: Sha256,
    uriEscapePath: service !== 's3',
  })
  const request = await signer.sign(
    {
      method,
      protocol: 'http:',
      hostname,
      port: Number(port),
      path,
      query,
      headers: { host, ...headers },
      ...(body === '' ? {} : { body }),
    },
    { signingDate: new Date(signedAt) },
  )
  const search = new URLSearchParams(query).toString()
  return { method, path: search === '' ? path : `${path}?${search}`, headers: request.headers, body }
}

/** Sends as it is. */
export async function send(
  world: World,
  { method, path, headers, body }: Wire,
): Promise<{ readonly status: number; readonly code: string | undefined; readonly body: string }> {
  const { hostname, port } = new URL(world.aws.url)
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path, headers, agent: false }, (response) => {
      text(response).then((received) => resolve({ status: response.statusCode ?? 0, body: received }), reject)
    })
    request.on('error', reject)
    request.end(body)
  })
  return { ...answer, code: /<Code>(\w+)<\/Code>/.exec(answer.body)?.[1] }
}

/** What a GET of an object by S3's rules gives: its content, or status and code of the refusal. */
export async function get(world: World, path: string, keys: Keys, signing: Signing = {}): Promise<string> {
  const { status, code, body } = await send(world, await signed(world, 'GET', path, keys, signing))
  return status === 200 ? body : `${status} ${code}`
}
