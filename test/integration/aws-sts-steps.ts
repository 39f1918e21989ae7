import { v7 as uuidv7 } from 'uuid'
import { createAwsStsAdapter } from '../../adapters/aws-sts/index.ts'
import { access, settings } from '../../adapters/aws-sts/settings.ts'
import type { Adapter, Call, Credential, GrantRequest, Revoked } from '../../broker/adapter.ts'
import type { AwsEmulator, EmulatorOptions, RoleOptions } from '../../broker/dev/aws/options.ts'
import type { PolicyDocument } from '../../broker/dev/aws/policy-document.ts'
import { startAwsEmulator } from '../../broker/dev/aws/start-aws-emulator.ts'
import type { JsonObject } from '../../broker/json.ts'
import { Secret } from '../../broker/secret.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'
import {
  ACCOUNT,
  allow,
  arnOf,
  BROKER,
  get,
  REGION,
  STRANGER,
  trusting,
  type World,
} from '../unit/aws-emulator-steps.ts'

export const STORE = 'abcd1234'
export const OTHER_STORE = 'wxyz5678'
export const ENDED: Revoked = { access: 'ended', removed: true }
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
/** Longer than what a policy must have stood until what it replaces is removed. */
export const SPREAD = 81_000

export const ACCOUNT_ROOT = `arn:aws:iam::${ACCOUNT}:root`
export const ASSUME = ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity']
const KEEP = ['GetRole', 'PutRolePolicy', 'GetRolePolicy', 'ListRolePolicies', 'DeleteRolePolicy']
const REPORTS = 'arn:aws:s3:::reports/*'
export const OBJECT = '/reports/june.csv'

/** A copy: the SDK writes into what it gets. */
export const BROKER_KEYS = { ...BROKER }

export const roleNamed = (name: string, changes: Partial<RoleOptions> = {}): RoleOptions => ({
  name,
  trust: trusting(ACCOUNT_ROOT, ASSUME),
  policies: { base: allow('s3:GetObject', [REPORTS, 'arn:aws:s3:::private/*']) },
  maxSessionDurationSeconds: 12 * 3600,
  ...changes,
})

export interface AwsFixtureOptions {
  readonly roles?: readonly RoleOptions[]
  readonly brokerPolicies?: readonly PolicyDocument[]
  readonly managedPolicies?: EmulatorOptions['managedPolicies']
}

export interface AwsFixture extends AsyncDisposable {
  readonly aws: AwsEmulator
  /** The same for the steps of the emulator's own tests. */
  readonly world: World
  /** Moves the clock of AWS and of the adapters, in milliseconds. */
  advance(milliseconds: number): void
  now(): number
  adapter(
    changes?: Record<string, unknown>,
    accesses?: Record<string, Record<string, unknown>>,
    surroundings?: { readonly now?: () => number; readonly replaceAfterSeconds?: number },
  ): Adapter
  /** What a GET of an object gives: its content, or status and code of the refusal. */
  read(credential: Credential, path?: string): Promise<string>
  request(changes?: Partial<GrantRequest>): GrantRequest
  /** With a time to live in seconds. */
  requestFor(ttlSeconds: number, changes?: Partial<GrantRequest>): GrantRequest
  issue(adapter: Adapter, request?: GrantRequest): Promise<IssuedSession>
}

export interface IssuedSession {
  readonly request: GrantRequest
  readonly planned: JsonObject
  readonly handle: JsonObject
  readonly credential: Credential
  readonly expiresAt: Date | undefined
}

export function call(timeoutMs = 15_000): Call {
  return { signal: AbortSignal.timeout(timeoutMs), timeoutMs }
}

/** An AWS of its own with a role `reader`, whose clock goes like ours until it is moved. */
export async function startAws(options: AwsFixtureOptions = {}): Promise<AwsFixture> {
  const { roles = [roleNamed('reader')], managedPolicies = {} } = options
  const brokerPolicies = options.brokerPolicies ?? [
    allow(ASSUME, '*'),
    allow(
      KEEP.map((action) => `iam:${action}`),
      roles.map(({ name }) => arnOf(name)),
    ),
  ]
  let shift = 0
  const now = (): number => Date.now() + shift
  const user = (name: string, keys: typeof BROKER, policies: readonly PolicyDocument[]) => ({
    name,
    accessKeyId: keys.accessKeyId,
    secretAccessKey: new Secret(keys.secretAccessKey),
    policies,
  })
  const aws = await startAwsEmulator({
    region: REGION,
    accountId: ACCOUNT,
    users: [user('broker', BROKER, brokerPolicies), user('stranger', STRANGER, [])],
    roles,
    managedPolicies,
    objects: { 'reports/june.csv': 'a,b\n1,2\n', 'private/x': 'x' },
    now: () => new Date(now()),
  })
  const world = {
    aws,
    get time() {
      return now()
    },
  } as World
  const adapters: Adapter[] = []

  const fixture: AwsFixture = {
    aws,
    world,
    now,
    advance(milliseconds) {
      shift += milliseconds
    },
    adapter(changes = {}, accesses = { read: { roleArn: arnOf('reader') } }, surroundings = {}) {
      const adapter = createAwsStsAdapter(
        {
          resource: 'reports-bucket',
          settings: settings.parse({
            region: REGION,
            endpoint: aws.url,
            credentials: BROKER_KEYS,
            ...changes,
          }),
          accesses: new Map(Object.entries(accesses).map(([name, one]) => [name, access.parse(one)])),
          ...NO_SERVICES,
        },
        { now, replaceAfterSeconds: 80, ...surroundings },
      )
      adapters.push(adapter)
      return adapter
    },
    read(credential, path = OBJECT) {
      return get(world, path, {
        accessKeyId: String(credential['accessKeyId']),
        secretAccessKey: String(credential['secretAccessKey']),
        sessionToken: String(credential['sessionToken']),
      })
    },
    request(changes = {}) {
      return fixture.requestFor(600, changes)
    },
    requestFor(ttlSeconds, changes = {}) {
      return {
        grantId: uuidv7({ msecs: now() }),
        taskId: uuidv7(),
        storeId: STORE,
        access: 'read',
        params: {},
        workloadId: 'mcp-reports',
        ttlSeconds,
        expiresAt: new Date(now() + ttlSeconds * 1000),
        issueBefore: new Date(now() + 10_000),
        ...changes,
      }
    },
    async issue(adapter, request = fixture.request()) {
      const planned = adapter.plan(request)
      const { handle, credential, expiresAt } = await adapter.issue(request, planned, call())
      const stored = JSON.parse(JSON.stringify(handle ?? planned)) as JsonObject
      return { request, planned, handle: stored, credential: credential.reveal(), expiresAt }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(adapters.map((adapter) => adapter[Symbol.asyncDispose]()))
      await aws.close()
    },
  }
  return fixture
}

export const CONTENT = 'a,b\n1,2\n'
export const DENIED = '403 AccessDenied'

/** The names of the policies that a store has on a role. */
export function denialsOf(fixture: AwsFixture, role = 'reader', storeId = STORE): string[] {
  return [...fixture.aws.rolePolicies(role).keys()].filter((name) => name.startsWith(`taskgrant-${storeId}-`))
}

/** How many calls of an action AWS has had. */
export function countOf(fixture: AwsFixture, action: string): number {
  return fixture.aws.calls.filter((one) => one.action === action).length
}

/** Calls back whenever a call to AWS has taken effect, before it is answered. */
export function afterEveryCall({ aws }: AwsFixture, look: (action: string) => void): void {
  // The emulator records every call right after it has run.
  const calls = aws.calls as (typeof aws.calls)[number][]
  const push = calls.push.bind(calls)
  calls.push = (one) => {
    const length = push(one)
    if (one.error === undefined) look(one.action)
    return length
  }
}

/** What is told of a withdrawal that was not possible. */
export function errorOf(outcome: Revoked | undefined): string {
  return outcome?.access === 'open' ? outcome.error.message : `it is not open: ${outcome?.access}`
}
