import { AwsError, validationError } from './aws-error.ts'
import {
  membersOf,
  neededText,
  optionalInteger,
  optionalText,
  requireKnown,
  requireText,
  type Parameters,
} from './parameters.ts'
import { POLICY_TEXT, requestedPolicy } from './policy-text.ts'
import { isArn } from './wildcard.ts'

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
export interface AssumeRoleInput {
  readonly roleArn: string
  readonly sessionName: string
  readonly durationSeconds: number
  readonly policy: string | undefined
  readonly policyArns: readonly string[]
  readonly tags: readonly (readonly [key: string, value: string])[]
  readonly sourceIdentity: string | undefined
  readonly externalId: string | undefined
}

const DEFAULT_DURATION_SECONDS = 3600
const KNOWN = [
  'RoleArn',
  'RoleSessionName',
  'DurationSeconds',
  'Policy',
  'SourceIdentity',
  'ExternalId',
  // The SDK sends an empty list as one empty field.
  'Tags',
  'Tags.member.N.Key',
  'Tags.member.N.Value',
  'PolicyArns',
  'PolicyArns.member.N.arn',
]
const NAME = { min: 2, max: 64, pattern: /^[\w+=,.@-]*$/ }
const TAG_KEY = { min: 1, max: 128, pattern: /^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/u }
const TAG_VALUE = { min: 0, max: 256, pattern: /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u }

/** @throws {AwsError} */
export function assumeRoleInput(parameters: Parameters): AssumeRoleInput {
  requireKnown(parameters, KNOWN)
  const policy = optionalText(parameters, 'Policy', { min: 1, max: 2048, pattern: POLICY_TEXT })
  if (policy !== undefined) requestedPolicy(policy)
  return {
    roleArn: requireArn(neededText(parameters, 'RoleArn', { min: 20, max: 2048, pattern: /./ })),
    sessionName: neededText(parameters, 'RoleSessionName', NAME),
    durationSeconds:
      optionalInteger(parameters, 'DurationSeconds', { min: 900, max: 43_200 }) ?? DEFAULT_DURATION_SECONDS,
    policy,
    policyArns: membersOf(parameters, 'PolicyArns', ['arn'], 10).map(([arn = '']) => requireArn(arn)),
    tags: tagsOf(parameters),
    sourceIdentity: optionalText(parameters, 'SourceIdentity', NAME),
    externalId: optionalText(parameters, 'ExternalId', { min: 2, max: 1224, pattern: /^[\w+=,.@:/-]*$/ }),
  }
}

function tagsOf(parameters: Parameters): readonly (readonly [string, string])[] {
  const tags = membersOf(parameters, 'Tags', ['Key', 'Value'], 50).map(
    ([key = '', value = '']) =>
      [requireText('Tags.key', key, TAG_KEY), requireText('Tags.value', value, TAG_VALUE)] as const,
  )
  const keys = tags.map(([key]) => key.toLowerCase())
  if (new Set(keys).size < keys.length) {
    const message = 'Duplicate tag keys found. Please note that Tag keys are case insensitive.'
    throw new AwsError(400, 'InvalidParameterValue', message)
  }
  if (keys.some((key) => key.startsWith('aws:'))) {
    throw new AwsError(400, 'InvalidParameterValue', 'The prefix aws: of tag keys is reserved.')
  }
  return tags
}

function requireArn(text: string): string {
  if (!isArn(text)) throw validationError(`${text.slice(0, 200)} is invalid`)
  return text
}
