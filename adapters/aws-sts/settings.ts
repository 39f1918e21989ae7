import { z } from 'zod'
import { Secret } from '../../broker/secret.ts'
import { ROLE_ARN } from './role-arn.ts'
import { ownStatements } from './session-policy.ts'

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/
/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html has these limits. */
const MAX_POLICY_ARNS = 10
const EXTERNAL_ID = { min: 2, max: 1224, pattern: /^[\w+=,.@:/-]+$/ }

const secret = z
  .string()
  .min(1)
  .max(16_384)
  .transform((text) => new Secret(text))

/** Secrets go over it, and its answers are believed: TLS, unless it does not leave the machine. */
const endpoint = z
  .url({ protocol: /^https?$/, error: 'expected an https URL' })
  .max(500)
  .refine((text) => {
    // The check before this one has complained already.
    if (!URL.canParse(text)) return true
    const { protocol, hostname } = new URL(text)
    return protocol === 'https:' || LOOPBACK.test(hostname)
  }, 'http is for loopback addresses only: expected an https URL')
  .refine((text) => !/[?#@]/.test(text), 'expected a URL without user, query and fragment')

const roleArn = z
  .string()
  .max(2048)
  .regex(ROLE_ARN, 'expected the ARN of a role, as arn:aws:iam::123456789012:role/name')

const externalId = z
  .string()
  .min(EXTERNAL_ID.min)
  .max(EXTERNAL_ID.max)
  .regex(EXTERNAL_ID.pattern, 'expected letters, digits and + = , . @ : / -')

export const settings = z.strictObject({
  region: z.string().regex(/^[a-z]{2,8}(-[a-z]{2,20}){1,3}-\d{1,2}$/, 'expected a region such as eu-west-1'),
  endpoint: endpoint.optional(),
  stsEndpoint: endpoint.optional(),
  iamEndpoint: endpoint.optional(),
  credentials: z
    .strictObject({
      accessKeyId: z.string().regex(/^\w{1,128}$/, 'expected an access key id'),
      secretAccessKey: secret,
      sessionToken: secret.optional(),
    })
    .optional(),
  revocation: z.enum(['deny', 'none']).default('deny'),
  whenFull: z.enum(['refuse', 'deny-older']).default('refuse'),
  sessionTags: z.boolean().default(true),
  sourceIdentity: z.boolean().default(true),
  maxAttempts: z.int().min(1).max(10).default(4),
})

export const access = z.strictObject({
  roleArn,
  externalId: externalId.optional(),
  policyArns: z
    .array(
      z
        .string()
        .max(2048)
        .regex(
          /^arn:aws[a-z-]{0,20}:iam::(aws|\d{12}):policy\/[\w+=,.@/-]+$/,
          'expected the ARN of a managed policy',
        ),
    )
    .min(1)
    .max(MAX_POLICY_ARNS)
    .optional(),
  policy: ownStatements.optional(),
})

export type Settings = z.output<typeof settings>
export type Access = z.output<typeof access>
