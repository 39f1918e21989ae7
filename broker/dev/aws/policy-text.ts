import { AwsError } from './aws-error.ts'
import { PolicyError } from './condition-operators.ts'
import { parsePolicy, type Policy } from './policy-document.ts'

/** IAM and STS take no character beyond Latin-1 in a policy. */
export const POLICY_TEXT = /^[\t\n\r\u0020-\u00FF]+$/

/** Reads a policy that came with a request. @throws {AwsError} MalformedPolicyDocument */
export function requestedPolicy(text: string): Policy {
  try {
    return parsePolicy(text, 'identity')
  } catch (error) {
    if (error instanceof PolicyError) throw new AwsError(400, 'MalformedPolicyDocument', error.message)
    throw error
  }
}
