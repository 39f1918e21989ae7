import { AwsError } from './aws-error.ts'
import type { Service } from './options.ts'

type Refusal = readonly [status: number, code: string, message: string]

/**
 * What is said to a caller who is not let in: by STS and IAM, which have one common list
 * (https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html), and by S3
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
 */
const REFUSALS = {
  noSignature: {
    query: [403, 'MissingAuthenticationToken', 'Request is missing Authentication Token'],
    s3: [403, 'AccessDenied', 'Access Denied'],
  },
  malformed: {
    query: [400, 'IncompleteSignature', 'The request signature does not conform to AWS standards.'],
    s3: [400, 'AuthorizationHeaderMalformed', 'The authorization header that you provided is not valid.'],
  },
  wrongScope: {
    query: [403, 'SignatureDoesNotMatch', 'Credential should be scoped to a valid region and service.'],
    s3: [400, 'AuthorizationHeaderMalformed', 'The authorization header is malformed; the scope is wrong.'],
  },
  unknownKey: {
    query: [403, 'InvalidClientTokenId', 'The security token included in the request is invalid.'],
    s3: [403, 'InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.'],
  },
  wrongToken: {
    query: [403, 'InvalidClientTokenId', 'The security token included in the request is invalid.'],
    s3: [400, 'InvalidToken', 'The provided token is malformed or otherwise not valid.'],
  },
  expired: {
    query: [403, 'ExpiredToken', 'The security token included in the request is expired'],
    s3: [400, 'ExpiredToken', 'The provided token has expired.'],
  },
  skewed: {
    query: [
      403,
      'SignatureDoesNotMatch',
      'Signature expired, or not yet current: the clocks differ by over 15 min.',
    ],
    s3: [
      403,
      'RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.',
    ],
  },
  unsignedHeader: {
    query: [403, 'SignatureDoesNotMatch', 'host and every x-amz-* header must be signed.'],
    s3: [403, 'AccessDenied', 'There were headers present in the request which were not signed'],
  },
  wrongPayloadHash: {
    query: [403, 'SignatureDoesNotMatch', 'The payload hash is not that of the body.'],
    s3: [400, 'XAmzContentSHA256Mismatch', 'The x-amz-content-sha256 header must be the hash of the body.'],
  },
  wrongSignature: {
    query: [
      403,
      'SignatureDoesNotMatch',
      'The request signature we calculated does not match the signature you provided.',
    ],
    s3: [
      403,
      'SignatureDoesNotMatch',
      'The request signature we calculated does not match the signature you provided.',
    ],
  },
} as const satisfies Record<string, { readonly query: Refusal; readonly s3: Refusal }>

export function refusal(why: keyof typeof REFUSALS, service: Service): AwsError {
  const [status, code, message] = REFUSALS[why][service === 's3' ? 's3' : 'query']
  return new AwsError(status, code, message)
}
