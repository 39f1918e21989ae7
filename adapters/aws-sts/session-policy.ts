import { z } from 'zod'
import type { JsonValue } from '../../broker/json.ts'
import { policyTime } from './aws-clock.ts'

/** In characters, white space included. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html */
const MAX_LENGTH = 2048
const ALLOW_ALL: JsonValue = { Effect: 'Allow', Action: '*', Resource: '*' }

const statement = z
  .record(z.string(), z.json())
  .refine(
    ({ Effect: effect }) => effect === 'Allow' || effect === 'Deny',
    'expected an Effect: Allow or Deny',
  )

/** The statements of an operator's own session policy. AWS checks the rest when a role is assumed with it. */
export const ownStatements = z
  .strictObject({
    Version: z.literal('2012-10-17').optional(),
    Id: z.string().optional(),
    Statement: z.union([statement.transform((one) => [one]), z.array(statement).min(1)], {
      error: 'expected a statement, or a list of statements',
    }),
  })
  .transform(({ Statement: statements }): readonly JsonValue[] => statements)
  .refine(
    (statements) => policyText(statements, 0).length <= MAX_LENGTH,
    `expected at most ${MAX_LENGTH} characters together with the statement that ends the session`,
  )

/**
 * The policy that comes with a session. It never allows what the role does not. `endsAt` (seconds since 1970) is the
 * first moment at which the session opens nothing, by AWS's clock: an explicit `Deny` also holds against policies of
 * resources that name the session, where the lack of an `Allow` does not.
 */
export function sessionPolicy(
  {
    policy,
    policyArns,
  }: {
    readonly policy?: readonly JsonValue[] | undefined
    readonly policyArns?: readonly string[] | undefined
  },
  endsAt: number,
): string {
  return policyText(policy ?? (policyArns === undefined ? [ALLOW_ALL] : []), endsAt)
}

function policyText(statements: readonly JsonValue[], endsAt: number): string {
  const end: JsonValue = {
    Effect: 'Deny',
    Action: '*',
    Resource: '*',
    Condition: { DateGreaterThanEquals: { 'aws:CurrentTime': policyTime(endsAt) } },
  }
  const text = JSON.stringify({ Version: '2012-10-17', Statement: [end, ...statements] })
  // AWS takes nothing beyond Latin-1; JSON can be written without it.
  return text.replaceAll(
    /[\u007F-\uFFFF]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
