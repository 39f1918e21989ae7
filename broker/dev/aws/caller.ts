import type { Account, Role, User } from './account.ts'
import { accessDenied } from './aws-error.ts'
import { contextOf, type Context } from './policy-conditions.ts'
import { parsePolicy } from './policy-document.ts'
import { decide, type PrincipalPolicies } from './policy-evaluation.ts'
import type { Session } from './session-tokens.ts'

/** Whoever signed a request. */
export type Caller =
  | { readonly kind: 'user'; readonly arn: string; readonly id: string; readonly user: User }
  | {
      readonly kind: 'session'
      readonly arn: string
      /** `AROA…:<session name>`, the `aws:userid`. */
      readonly id: string
      readonly role: Role
      readonly session: Session
    }

export function userCaller(user: User): Caller {
  return { kind: 'user', arn: user.arn, id: user.id, user }
}

export function sessionCaller(account: Account, role: Role, session: Session): Caller {
  const arn = `arn:aws:sts::${account.id}:assumed-role/${role.name}/${session.name}`
  return { kind: 'session', arn, id: `${role.id}:${session.name}`, role, session }
}

/** What binds the caller at this moment: a role's policies may have changed since the session began. */
export function policiesOf(account: Account, caller: Caller): PrincipalPolicies {
  if (caller.kind === 'user') return { identity: caller.user.policies, session: undefined }
  const { role, session } = caller
  const identity = [...role.inline.values(), ...role.attached]
  if (session.policy === undefined && session.policyArns.length === 0) return { identity, session: undefined }
  const inline = session.policy === undefined ? [] : [parsePolicy(session.policy, 'identity')]
  const managed = session.policyArns.flatMap((arn) => account.managed.get(arn) ?? [])
  return { identity, session: [...inline, ...managed] }
}

/** Facts of the request itself, such as `sts:ExternalId`. */
export type RequestFacts = Readonly<Record<string, string | readonly string[] | undefined>>

export function contextFor(account: Account, caller: Caller, facts: RequestFacts = {}): Context {
  const now = account.now()
  return contextOf({
    ...facts,
    'aws:CurrentTime': now.toISOString(),
    'aws:EpochTime': String(Math.floor(now.getTime() / 1000)),
    'aws:userid': caller.id,
    'aws:PrincipalAccount': account.id,
    ...(caller.kind === 'user' ? userFacts(caller.user) : sessionFacts(caller.role, caller.session)),
  })
}

function userFacts(user: User): RequestFacts {
  return { 'aws:PrincipalArn': user.arn, 'aws:PrincipalType': 'User', 'aws:username': user.name }
}

function sessionFacts(role: Role, session: Session): RequestFacts {
  return {
    // For a session this is the role, not the session.
    'aws:PrincipalArn': role.arn,
    'aws:PrincipalType': 'AssumedRole',
    'aws:TokenIssueTime': new Date(session.issuedAt).toISOString(),
    'aws:MultiFactorAuthPresent': 'false',
    'aws:SourceIdentity': session.sourceIdentity,
    ...Object.fromEntries(session.tags.map(([key, value]) => [`aws:PrincipalTag/${key}`, value])),
  }
}

export function isAllowed(account: Account, caller: Caller, action: string, resource: string): boolean {
  const request = { action, resource, context: contextFor(account, caller) }
  return decide(policiesOf(account, caller), request) === 'allowed'
}

/** @throws {AwsError} AccessDenied */
export function requireAllowed(account: Account, caller: Caller, action: string, resource: string): void {
  if (!isAllowed(account, caller, action, resource)) throw accessDenied(caller.arn, action, resource)
}
