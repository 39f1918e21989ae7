import type { GrantRequest, Issued } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { Secret } from '../../broker/secret.ts'
import type { SessionRequest } from './assume-role.ts'
import { sessionTags, sourceIdentity } from './attribution.ts'
import { wholeSeconds, type AwsClock } from './aws-clock.ts'
import type { Bounds } from './bounds.ts'
import { AwsFailure, refused } from './failure.ts'
import { parseHandle, type Handle } from './handle.ts'
import type { AssumeLongest } from './longest-session.ts'
import type { NeverMade } from './never-made.ts'
import { sessionPolicy } from './session-policy.ts'
import type { Access, Settings } from './settings.ts'

export interface Issuing {
  readonly settings: Settings
  readonly clock: AwsClock
  readonly assumeLongest: AssumeLongest
  readonly neverMade: NeverMade
}

/**
 * Opens a session. AWS gives it 900 seconds at least; its own policy ends it on time. @throws {AwsFailure}
 */
export async function issueSession(
  issuing: Issuing,
  grant: GrantRequest,
  planned: JsonObject,
  access: Access,
  bounds: Bounds,
): Promise<Issued> {
  const { settings, clock, assumeLongest, neverMade } = issuing
  const handle = parseHandle(planned)
  try {
    const askedUntil = endOf(grant, handle)
    const secondsLeft = askedUntil - clock.now() / 1000
    requireInTime(clock, grant, secondsLeft)
    const request = requestOf(settings, grant, handle, access, askedUntil)
    const session = await assumeLongest(request, secondsLeft, bounds)
    const expiresAt = new Date(Math.min(askedUntil, session.expiresAt) * 1000)
    const keys = session.keys.reveal()
    return {
      credential: new Secret({
        kind: 'aws-sts',
        ...keys,
        expiration: expiresAt.toISOString(),
        region: settings.region,
      }),
      expiresAt,
      handle: {
        ...handle,
        issuedAt: new Date(session.issuedAt * 1000).toISOString(),
        expiresAt: expiresAt.toISOString(),
      } satisfies Handle,
    }
  } catch (error) {
    if (error instanceof AwsFailure && error.settled) neverMade.add(handle.sessionName)
    throw error
  }
}

/** In seconds since 1970, never later than asked, nor than what the handle says. */
function endOf({ expiresAt }: GrantRequest, { endsBefore }: Handle): number {
  return wholeSeconds(Math.min(expiresAt.getTime(), Date.parse(endsBefore)))
}

function requireInTime(clock: AwsClock, { issueBefore }: GrantRequest, secondsLeft: number): void {
  if (clock.local() > issueBefore.getTime()) throw refused('no session was opened: the order came too late')
  if (secondsLeft <= 0) throw refused('no session was opened: its time is over already')
}

function requestOf(
  { sessionTags: isTagged, sourceIdentity: hasSourceIdentity }: Settings,
  grant: GrantRequest,
  { roleArn, sessionName }: Handle,
  access: Access,
  endsAt: number,
): SessionRequest {
  const { externalId, policyArns } = access
  return {
    RoleArn: roleArn,
    RoleSessionName: sessionName,
    Policy: sessionPolicy(access, endsAt),
    ...(policyArns === undefined ? {} : { PolicyArns: policyArns.map((arn) => ({ arn })) }),
    ...(externalId === undefined ? {} : { ExternalId: externalId }),
    ...(isTagged ? { Tags: sessionTags(grant) } : {}),
    ...(hasSourceIdentity ? { SourceIdentity: sourceIdentity(grant) } : {}),
  }
}
