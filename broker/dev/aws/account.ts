import { StartupError } from '../../errors.ts'
import type { Secret } from '../../secret.ts'
import type { EmulatorOptions, RoleOptions, UserOptions } from './options.ts'
import { parsePolicy, type Policy } from './policy-document.ts'
import { openSessionTokens, uniqueId, type SessionTokens } from './session-tokens.ts'

export interface User {
  readonly name: string
  readonly arn: string
  readonly id: string
  readonly secretAccessKey: Secret<string>
  readonly policies: readonly Policy[]
}

export interface Role {
  readonly name: string
  readonly arn: string
  readonly id: string
  readonly trust: Policy
  readonly inline: Map<string, Policy>
  readonly attached: readonly Policy[]
  readonly maxSessionDurationSeconds: number
  readonly createdAt: Date
}

export interface Account {
  readonly id: string
  readonly region: string
  readonly now: () => Date
  readonly usersByKey: ReadonlyMap<string, User>
  readonly roles: ReadonlyMap<string, Role>
  readonly managed: ReadonlyMap<string, Policy>
  readonly objects: ReadonlyMap<string, string>
  readonly sessions: SessionTokens
}

const DEFAULT_ACCOUNT = '123456789012'
const DEFAULT_SESSION_SECONDS = 3600
const NAME = /^[\w+=,.@-]{1,64}$/
/** Begins as those of users do: AWS tells them from those of sessions by it. */
const ACCESS_KEY_ID = /^AKIA[A-Z0-9]{12,124}$/

/** @throws {StartupError, PolicyError} if something of it could not exist on AWS */
export function openAccount(options: EmulatorOptions): Account {
  const id = options.accountId ?? DEFAULT_ACCOUNT
  require12Digits(id)
  const now = options.now ?? ((): Date => new Date())
  const managed = new Map(
    Object.entries(options.managedPolicies ?? {}).map(([arn, document]) => [
      arn,
      parsePolicy(JSON.stringify(document), 'identity'),
    ]),
  )
  return {
    id,
    region: options.region,
    now,
    managed,
    usersByKey: new Map(options.users.map((user) => [keyIdOf(user), openUser(id, user)])),
    roles: new Map(options.roles.map((role) => [role.name, openRole(id, role, managed, now())])),
    objects: new Map(Object.entries(options.objects ?? {})),
    sessions: openSessionTokens(),
  }
}

export function roleArn(accountId: string, name: string): string {
  return `arn:aws:iam::${accountId}:role/${name}`
}

function openUser(accountId: string, { name, secretAccessKey, policies }: UserOptions): User {
  requireName(name)
  const arn = `arn:aws:iam::${accountId}:user/${name}`
  return {
    name,
    arn,
    id: uniqueId('AIDA', arn),
    secretAccessKey,
    policies: policies.map((document) => parsePolicy(JSON.stringify(document), 'identity')),
  }
}

function openRole(
  accountId: string,
  options: RoleOptions,
  managed: ReadonlyMap<string, Policy>,
  createdAt: Date,
): Role {
  const { name, trust, policies, attached = [] } = options
  requireName(name)
  const inline = Object.entries(policies).map(
    ([policyName, document]) => [policyName, parsePolicy(JSON.stringify(document), 'identity')] as const,
  )
  const arn = roleArn(accountId, name)
  return {
    name,
    arn,
    id: uniqueId('AROA', arn),
    trust: parsePolicy(JSON.stringify(trust), 'trust'),
    inline: new Map(inline),
    attached: attached.map((policyArn) => {
      const policy = managed.get(policyArn)
      if (policy === undefined) throw new StartupError(`there is no managed policy ${policyArn}`)
      return policy
    }),
    maxSessionDurationSeconds: options.maxSessionDurationSeconds ?? DEFAULT_SESSION_SECONDS,
    createdAt,
  }
}

function keyIdOf({ accessKeyId }: UserOptions): string {
  if (ACCESS_KEY_ID.test(accessKeyId)) return accessKeyId
  throw new StartupError(`${accessKeyId} cannot be the access key id of a user`)
}

function requireName(name: string): void {
  if (!NAME.test(name)) throw new StartupError(`${name} cannot be the name of a user or a role`)
}

function require12Digits(id: string): void {
  if (!/^\d{12}$/.test(id)) throw new StartupError(`${id} cannot be the id of an account`)
}
