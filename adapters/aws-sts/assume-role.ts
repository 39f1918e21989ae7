import { AssumeRoleCommand, type AssumeRoleCommandInput } from '@aws-sdk/client-sts'
import { Secret } from '../../broker/secret.ts'
import { wholeSeconds } from './aws-clock.ts'
import type { Bounds } from './bounds.ts'
import type { Aws } from './clients.ts'
import { AwsFailure } from './failure.ts'

export interface SessionKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
}

/** Times in seconds since 1970, by AWS's clock. */
export interface Session {
  readonly keys: Secret<SessionKeys>
  readonly issuedAt: number
  readonly expiresAt: number
}

export type SessionRequest = Omit<AssumeRoleCommandInput, 'DurationSeconds'> & { readonly RoleArn: string }

/** @throws {AwsFailure} */
export async function assumeRole(
  aws: Aws,
  request: SessionRequest,
  durationSeconds: number,
  bounds: Bounds,
): Promise<Session> {
  const command = new AssumeRoleCommand({ ...request, DurationSeconds: durationSeconds })
  try {
    const { Credentials: given } = await aws.sts('AssumeRole', bounds, (client, options) =>
      client.send(command, options),
    )
    const expiresAt = wholeSeconds(given?.Expiration?.getTime() ?? NaN)
    const {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      SessionToken: sessionToken,
    } = given ?? {}
    if (!accessKeyId || !secretAccessKey || !sessionToken || Number.isNaN(expiresAt)) {
      throw new AwsFailure('failed', 'AWS answered AssumeRole with no session', { settled: false })
    }
    const keys = new Secret({ accessKeyId, secretAccessKey, sessionToken })
    return { keys, expiresAt, issuedAt: expiresAt - durationSeconds }
  } catch (error) {
    throw error instanceof AwsFailure ? explained(error, request) : error
  }
}

function explained(
  error: AwsFailure,
  { RoleArn: arn, Tags: tags, SourceIdentity: identity }: SessionRequest,
): AwsFailure {
  if (error.code === 'AccessDenied') {
    if (error.says(/perform: sts:TagSession\b/)) {
      return error.toldAs(
        `AWS does not let the broker tag sessions of ${arn} (AccessDenied): allow sts:TagSession ` +
          'in the trust policy of the role and to the broker, or set sessionTags to false',
      )
    }
    if (error.says(/perform: sts:SetSourceIdentity\b/)) {
      return error.toldAs(
        `AWS does not let the broker set the source identity of sessions of ${arn} (AccessDenied): allow ` +
          'sts:SetSourceIdentity in the trust policy of the role and to the broker, or set sourceIdentity to false',
      )
    }
    const actions = [
      'sts:AssumeRole',
      ...(tags === undefined ? [] : ['sts:TagSession']),
      ...(identity === undefined ? [] : ['sts:SetSourceIdentity']),
    ]
    return error.toldAs(
      `AWS does not let the broker assume ${arn} (AccessDenied): it takes that the role exists, that its trust policy ` +
        `and the policy of the broker allow ${actions.join(', ')}, and the right external id`,
    )
  }
  if (error.code === 'PackedPolicyTooLarge') {
    return error.toldAs(
      'the session policy, the ARNs of policyArns and the session tags are too much for AWS together (PackedPolicyTooLarge)',
    )
  }
  if (error.code === 'MalformedPolicyDocument') {
    return error.toldAs('AWS does not accept the session policy of this access (MalformedPolicyDocument)')
  }
  if (error.code === 'RegionDisabled') {
    return error.toldAs('STS is not active for this region in the account (RegionDisabled)')
  }
  return error
}
