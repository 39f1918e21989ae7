import { deflateRawSync } from 'node:zlib'
import type { Account, Role } from './account.ts'
import { assumeRoleInput, type AssumeRoleInput } from './assume-role-input.ts'
import { accessDenied, AwsError, validationError } from './aws-error.ts'
import { contextFor, policiesOf, sessionCaller, type Caller } from './caller.ts'
import type { Parameters } from './parameters.ts'
import { decide, decideWithTrust } from './policy-evaluation.ts'
import { secondsText } from './query-operation.ts'
import type { XmlChildren } from './xml.ts'

const CHAINED_SECONDS = 3600
/** AWS does not tell how many bytes it allows, nor how it packs. */
const PACKED_BYTES = 2048

/** @throws {AwsError} */
export function assumeRole(account: Account, caller: Caller, parameters: Parameters): XmlChildren {
  const input = assumeRoleInput(parameters)
  const inherited = caller.kind === 'session' ? caller.session.sourceIdentity : undefined
  const sourceIdentity = input.sourceIdentity ?? inherited
  const role = requireAssumable(account, caller, { ...input, sourceIdentity })
  if (inherited !== undefined && sourceIdentity !== inherited) {
    throw accessDenied(caller.arn, 'sts:SetSourceIdentity', input.roleArn)
  }
  requireDuration(caller, role, input.durationSeconds)
  requireManaged(account, input.policyArns)
  const packedPercent = requirePacked(input)

  const issuedAt = Math.floor(account.now().getTime() / 1000) * 1000
  const { session, token } = account.sessions.issue({
    role: role.name,
    name: input.sessionName,
    issuedAt,
    expiresAt: issuedAt + input.durationSeconds * 1000,
    policy: input.policy,
    policyArns: input.policyArns,
    tags: input.tags,
    sourceIdentity,
  })
  const { arn, id } = sessionCaller(account, role, session)
  return {
    SourceIdentity: sourceIdentity,
    AssumedRoleUser: { AssumedRoleId: id, Arn: arn },
    Credentials: {
      AccessKeyId: session.accessKeyId,
      SecretAccessKey: session.secretAccessKey,
      SessionToken: token,
      Expiration: secondsText(session.expiresAt),
    },
    PackedPolicySize: packedPercent,
  }
}

/** To tag a session and to set its source identity are permissions of their own. @throws {AwsError} AccessDenied */
function requireAssumable(account: Account, caller: Caller, input: AssumeRoleInput): Role {
  const role = [...account.roles.values()].find(({ arn }) => arn === input.roleArn)
  // A role that does not exist is not told from one that the caller may not assume.
  if (role === undefined) throw accessDenied(caller.arn, 'sts:AssumeRole', input.roleArn)
  const context = contextFor(account, caller, {
    'sts:RoleSessionName': input.sessionName,
    'sts:ExternalId': input.externalId,
    'sts:SourceIdentity': input.sourceIdentity,
    'aws:TagKeys': input.tags.length === 0 ? undefined : input.tags.map(([key]) => key),
    ...Object.fromEntries(input.tags.map(([key, value]) => [`aws:RequestTag/${key}`, value])),
  })
  const principal = {
    accountId: account.id,
    arn: caller.arn,
    roleArn: caller.kind === 'session' ? caller.role.arn : undefined,
  }
  const actions = [
    'sts:AssumeRole',
    ...(input.tags.length === 0 ? [] : ['sts:TagSession']),
    ...(input.sourceIdentity === undefined ? [] : ['sts:SetSourceIdentity']),
  ]
  for (const action of actions) {
    const request = { action, resource: role.arn, context }
    const policies = policiesOf(account, caller)
    const verdict = decideWithTrust(role.trust, principal, policies, request)
    // The trust policy alone is not enough for a session that passes its source identity on.
    const needsBoth = action === 'sts:SetSourceIdentity' && caller.kind === 'session'
    if (verdict !== 'allowed' || (needsBoth && decide(policies, request) !== 'allowed')) {
      throw accessDenied(caller.arn, action, role.arn)
    }
  }
  return role
}

function requireDuration(caller: Caller, role: Role, seconds: number): void {
  if (caller.kind === 'session' && seconds > CHAINED_SECONDS) {
    throw validationError(
      'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.',
    )
  }
  if (seconds > role.maxSessionDurationSeconds) {
    throw validationError('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.')
  }
}

function requireManaged(account: Account, arns: readonly string[]): void {
  const unknown = arns.find((arn) => !account.managed.has(arn))
  if (unknown !== undefined) throw validationError(`The managed policy ${unknown} does not exist.`)
}

/** In percent of what is allowed. @throws {AwsError} PackedPolicyTooLarge */
function requirePacked({ policy, policyArns, tags }: AssumeRoleInput): number | undefined {
  if (policy === undefined && policyArns.length === 0 && tags.length === 0) return undefined
  const packed = deflateRawSync(JSON.stringify([policy, policyArns, tags])).length
  const percent = Math.ceil((packed * 100) / PACKED_BYTES)
  if (percent <= 100) return percent
  const message =
    policy === undefined
      ? `Packed size of session tags consumes ${percent}% of allotted space.`
      : `Packed policy consumes ${percent}% of allotted space, please use smaller policy.`
  throw new AwsError(400, 'PackedPolicyTooLarge', message)
}
