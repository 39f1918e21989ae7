import type { Context } from './policy-conditions.ts'
import type { Patterns, Policy, Statement } from './policy-document.ts'
import { matchesArn, matchesWildcard } from './wildcard.ts'

/** One thing that a principal wants to do. */
export interface AccessRequest {
  /** `s3:GetObject`. */
  readonly action: string
  /** An ARN. */
  readonly resource: string
  readonly context: Context
}

/** `denied`: nothing allows it. `explicitlyDenied`: a `Deny` does not let it, whatever else allows it. */
export type Verdict = 'allowed' | 'denied' | 'explicitlyDenied'

/** The policies that come with a principal. */
export interface PrincipalPolicies {
  /** Of the user, or of the role: inline and attached. */
  readonly identity: readonly Policy[]
  /** Given when the session began: inline and managed. Undefined if there are none; they only ever narrow. */
  readonly session: readonly Policy[] | undefined
}

/** Who asks. */
export interface Principal {
  readonly accountId: string
  /** Of the user, or of the session: `arn:aws:sts::…:assumed-role/<role>/<session>`. */
  readonly arn: string
  /** Of the role that a session has; undefined for a user. */
  readonly roleArn: string | undefined
}

/** What these policies say together. */
export function evaluate(policies: readonly Policy[], request: AccessRequest): Verdict {
  return verdictOf(
    policies.flatMap(({ statements }) => statements.filter((statement) => applies(statement, request))),
  )
}

/**
 * What a principal may do by its own policies.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
 */
export function decide({ identity, session }: PrincipalPolicies, request: AccessRequest): Verdict {
  const verdicts = [identity, ...(session === undefined ? [] : [session])].map((policies) =>
    evaluate(policies, request),
  )
  if (verdicts.includes('explicitlyDenied')) return 'explicitlyDenied'
  return verdicts.every((verdict) => verdict === 'allowed') ? 'allowed' : 'denied'
}

/**
 * What a principal may do with a role of its own account, whose trust policy has its say. A trust policy that names
 * the account leaves the decision to the principal's own policies; one that names the principal is enough by itself.
 */
export function decideWithTrust(
  trust: Policy,
  principal: Principal,
  policies: PrincipalPolicies,
  request: AccessRequest,
): Verdict {
  const statements = trust.statements.filter(
    (statement) => meaningOf(statement, principal) !== undefined && applies(statement, request),
  )
  const own = decide(policies, request)
  if (own === 'explicitlyDenied' || verdictOf(statements) === 'explicitlyDenied') return 'explicitlyDenied'
  const isEnough = statements.some((statement) => {
    switch (meaningOf(statement, principal)) {
      case 'itself':
        return true
      case 'role':
        return policies.session === undefined || evaluate(policies.session, request) === 'allowed'
      case 'account':
        return own === 'allowed'
      case undefined:
        return false
    }
  })
  return isEnough ? 'allowed' : 'denied'
}

/** As what a statement names the principal; the most direct of its names counts. */
function meaningOf(
  { principals }: Statement,
  { accountId, arn, roleArn }: Principal,
): 'itself' | 'role' | 'account' | undefined {
  const isAnyone = principals.includes('*')
  if (principals.includes(arn) || (isAnyone && roleArn === undefined)) return 'itself'
  if (isAnyone || (roleArn !== undefined && principals.includes(roleArn))) return 'role'
  const account = [accountId, `arn:aws:iam::${accountId}:root`]
  return account.some((name) => principals.includes(name)) ? 'account' : undefined
}

function verdictOf(matching: readonly Statement[]): Verdict {
  if (matching.some(({ effect }) => effect === 'Deny')) return 'explicitlyDenied'
  return matching.length > 0 ? 'allowed' : 'denied'
}

function applies({ actions, resources, conditions }: Statement, request: AccessRequest): boolean {
  const { action, resource, context } = request
  return (
    isAmong(actions, (pattern) => matchesWildcard(pattern.toLowerCase(), action.toLowerCase())) &&
    (resources === undefined ||
      isAmong(resources, (pattern) => pattern === '*' || matchesArn(pattern, resource))) &&
    conditions.every((holds) => holds(context))
  )
}

function isAmong({ patterns, negated }: Patterns, matches: (pattern: string) => boolean): boolean {
  return patterns.some(matches) !== negated
}
