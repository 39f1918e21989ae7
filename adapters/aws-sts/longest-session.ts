import { GetRoleCommand } from '@aws-sdk/client-iam'
import { assumeRole, type Session, type SessionRequest } from './assume-role.ts'
import type { Bounds } from './bounds.ts'
import type { Aws } from './clients.ts'
import { AwsFailure } from './failure.ts'
import { roleNameOf } from './role-arn.ts'

/** What AWS gives at least and at most. */
const MIN_SECONDS = 900
const MAX_SECONDS = 43_200
/** Every role allows this, and nobody gets more who is in an assumed role already. */
const ALWAYS_SECONDS = 3_600
/** A role's maximum may be raised. */
const REMEMBER_MS = 10 * 60_000
const TOO_LONG = /exceeds the MaxSessionDuration/
const CHAINED = /1 hour session limit for roles assumed by role chaining/

/** Assumes a role for as long as is asked, or as long as it allows. */
export type AssumeLongest = (request: SessionRequest, seconds: number, bounds: Bounds) => Promise<Session>

/** What roles allow is found out by their refusals, and remembered for a while. */
export function openLongestSessions(aws: Aws): AssumeLongest {
  const longest = new Map<string, { readonly seconds: number; readonly untilMs: number }>()

  function known(arn: string): number {
    const found = longest.get(arn)
    if (found !== undefined && found.untilMs > performance.now()) return found.seconds
    longest.delete(arn)
    return MAX_SECONDS
  }

  return async (request, asked, bounds) => {
    const arn = request.RoleArn
    let seconds = Math.min(Math.max(Math.ceil(asked), MIN_SECONDS), known(arn))
    for (;;) {
      try {
        return await assumeRole(aws, request, seconds, bounds)
      } catch (error) {
        const allowed = await allowedInstead(aws, arn, error, bounds)
        if (allowed === undefined || seconds <= ALWAYS_SECONDS) throw error
        // What a role says of itself may still be too much for who assumes it.
        seconds = allowed < seconds ? allowed : ALWAYS_SECONDS
        longest.set(arn, { seconds, untilMs: performance.now() + REMEMBER_MS })
      }
    }
  }
}

/** Seconds; undefined if the refusal was about something else. */
async function allowedInstead(
  aws: Aws,
  arn: string,
  error: unknown,
  bounds: Bounds,
): Promise<number | undefined> {
  if (!(error instanceof AwsFailure) || error.code !== 'ValidationError') return undefined
  if (error.says(CHAINED)) return ALWAYS_SECONDS
  if (!error.says(TOO_LONG)) return undefined
  const command = new GetRoleCommand({ RoleName: roleNameOf(arn).name })
  try {
    const { Role: role } = await aws.iam('GetRole', bounds, (client, options) =>
      client.send(command, options),
    )
    // A role of this name in the account of the broker may be another one.
    return role?.Arn === arn ? (role.MaxSessionDuration ?? ALWAYS_SECONDS) : ALWAYS_SECONDS
  } catch {
    return ALWAYS_SECONDS
  }
}
