import { roleArn, type Account, type Role } from './account.ts'
import { AwsError, validationError } from './aws-error.ts'
import { requireAllowed, type Caller } from './caller.ts'
import type { Action } from './options.ts'
import { neededText, optionalInteger, optionalText, requireKnown, type Parameters } from './parameters.ts'
import type { Policy } from './policy-document.ts'
import { POLICY_TEXT, requestedPolicy } from './policy-text.ts'
import { secondsText, type QueryService } from './query-operation.ts'
import { percentEncoded } from './signature.ts'
import type { XmlChildren } from './xml.ts'

export const IAM: QueryService = {
  version: '2010-05-08',
  namespace: 'https://iam.amazonaws.com/doc/2010-05-08/',
  operations: {
    GetRole: getRole,
    PutRolePolicy: putRolePolicy,
    GetRolePolicy: getRolePolicy,
    DeleteRolePolicy: deleteRolePolicy,
    ListRolePolicies: listRolePolicies,
  },
}

/** Of all inline policies of a role together, white space not counted. */
const INLINE_QUOTA = 10_240
const ROLE_NAME = { min: 1, max: 64, pattern: /^[\w+=,.@-]+$/ }
const POLICY_NAME = { min: 1, max: 128, pattern: /^[\w+=,.@-]+$/ }
const DOCUMENT = { min: 1, max: 131_072, pattern: POLICY_TEXT }
const MARKER = { min: 1, max: 320, pattern: /^[\u0020-\u00FF]+$/ }

function getRole(account: Account, caller: Caller, parameters: Parameters): XmlChildren {
  requireKnown(parameters, ['RoleName'])
  const role = permittedRole(account, caller, parameters, 'GetRole')
  return {
    Role: {
      Path: '/',
      RoleName: role.name,
      RoleId: role.id,
      Arn: role.arn,
      CreateDate: secondsText(role.createdAt),
      AssumeRolePolicyDocument: percentEncoded(role.trust.text),
      MaxSessionDuration: role.maxSessionDurationSeconds,
    },
  }
}

function putRolePolicy(account: Account, caller: Caller, parameters: Parameters): undefined {
  requireKnown(parameters, ['RoleName', 'PolicyName', 'PolicyDocument'])
  const policyName = neededText(parameters, 'PolicyName', POLICY_NAME)
  const text = neededText(parameters, 'PolicyDocument', DOCUMENT)
  const role = permittedRole(account, caller, parameters, 'PutRolePolicy')
  const policy = requestedPolicy(text)
  const others = [...role.inline].filter(([name]) => name !== policyName).map(([, other]) => other)
  if ([...others, policy].reduce((size, one) => size + countedLength(one), 0) > INLINE_QUOTA) {
    const message = `Maximum policy size of ${INLINE_QUOTA} bytes exceeded for role ${role.name}`
    throw new AwsError(409, 'LimitExceeded', message)
  }
  role.inline.set(policyName, policy)
}

function getRolePolicy(account: Account, caller: Caller, parameters: Parameters): XmlChildren {
  requireKnown(parameters, ['RoleName', 'PolicyName'])
  const policyName = neededText(parameters, 'PolicyName', POLICY_NAME)
  const role = permittedRole(account, caller, parameters, 'GetRolePolicy')
  const policy = role.inline.get(policyName)
  if (policy === undefined) throw noSuchPolicy(policyName)
  return { RoleName: role.name, PolicyName: policyName, PolicyDocument: percentEncoded(policy.text) }
}

function deleteRolePolicy(account: Account, caller: Caller, parameters: Parameters): undefined {
  requireKnown(parameters, ['RoleName', 'PolicyName'])
  const policyName = neededText(parameters, 'PolicyName', POLICY_NAME)
  const role = permittedRole(account, caller, parameters, 'DeleteRolePolicy')
  if (!role.inline.delete(policyName)) throw noSuchPolicy(policyName)
}

function listRolePolicies(account: Account, caller: Caller, parameters: Parameters): XmlChildren {
  requireKnown(parameters, ['RoleName', 'Marker', 'MaxItems'])
  const maxItems = optionalInteger(parameters, 'MaxItems', { min: 1, max: 1000 }) ?? 100
  const after = afterMarker(optionalText(parameters, 'Marker', MARKER))
  const role = permittedRole(account, caller, parameters, 'ListRolePolicies')
  const names = [...role.inline.keys()].toSorted().filter((name) => after === undefined || name > after)
  const page = names.slice(0, maxItems)
  const isTruncated = names.length > page.length
  return {
    PolicyNames: { member: page },
    IsTruncated: String(isTruncated),
    Marker: isTruncated ? Buffer.from(page.at(-1) ?? '').toString('base64') : undefined,
  }
}

/** Permission comes first: whoever has none does not learn which roles exist. @throws {AwsError} */
function permittedRole(account: Account, caller: Caller, parameters: Parameters, action: Action): Role {
  const name = neededText(parameters, 'RoleName', ROLE_NAME)
  requireAllowed(account, caller, `iam:${action}`, roleArn(account.id, name))
  const role = account.roles.get(name)
  if (role === undefined) {
    throw new AwsError(404, 'NoSuchEntity', `The role with name ${name} cannot be found.`)
  }
  return role
}

function noSuchPolicy(name: string): AwsError {
  return new AwsError(404, 'NoSuchEntity', `The role policy with name ${name} cannot be found.`)
}

/** The name of the policy that the last page ended with. */
function afterMarker(marker: string | undefined): string | undefined {
  if (marker === undefined) return undefined
  const name = Buffer.from(marker, 'base64').toString()
  if (!POLICY_NAME.pattern.test(name)) throw validationError('Invalid Marker.')
  return name
}

function countedLength({ text }: Policy): number {
  return text.replaceAll(/\s/g, '').length
}
