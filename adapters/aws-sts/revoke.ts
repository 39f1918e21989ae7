import { AdapterError, type Revoked } from '../../broker/adapter.ts'
import { groupBy } from '../../broker/group-by.ts'
import type { JsonObject } from '../../broker/json.ts'
import { wholeSeconds, type AwsClock } from './aws-clock.ts'
import type { Bounds } from './bounds.ts'
import type { SessionAtHand } from './deny-sessions.ts'
import { endOf, parseHandle, type Handle } from './handle.ts'
import type { Identity } from './identity.ts'
import type { NeverMade } from './never-made.ts'
import type { DenialsOf } from './role-denials.ts'

const ENDED: Revoked = { access: 'ended', removed: true }

export interface Revoking {
  readonly clock: AwsClock
  readonly identity: Identity
  readonly neverMade: NeverMade
  /** Undefined: sessions of this resource end by their time alone. */
  readonly denialsOf: DenialsOf | undefined
}

/** One outcome per handle, in order. @throws {AdapterError} if AWS is out of reach, and nothing is known of any */
export async function revokeSessions(
  { clock, identity, neverMade, denialsOf }: Revoking,
  handles: readonly JsonObject[],
  bounds: Bounds,
): Promise<readonly Revoked[]> {
  const parsed = handles.map(tryParse)
  // By a clock of ours that is ahead, a session would seem to be over that is not.
  // If AWS does not tell, ours has to do.
  if (handles.length > 0 && !clock.isKnown()) await identity.look(bounds).catch(() => undefined)
  const isOver = (handle: Handle): boolean =>
    endOf(handle) <= clock.now() || (handle.issuedAt === undefined && neverMade.has(handle.sessionName))
  const alive = parsed.filter(
    (handle): handle is Handle => !(handle instanceof AdapterError) && !isOver(handle),
  )
  const denied =
    denialsOf === undefined ? new Map<string, Revoked>() : await denyAll(denialsOf, alive, bounds)
  const isAlive = new Set(alive)
  const outcomes = parsed.map((handle): Revoked => {
    if (handle instanceof AdapterError) return { access: 'open', error: handle }
    if (!isAlive.has(handle)) return ENDED
    if (denialsOf === undefined) return { access: 'expiring', endsAt: new Date(endOf(handle)) }
    return denied.get(handle.sessionName) ?? { access: 'open', error: unknownOutcome() }
  })
  const outage = outageOf(outcomes)
  if (outage !== undefined) throw outage
  return outcomes
}

function tryParse(handle: JsonObject): Handle | AdapterError {
  try {
    return parseHandle(handle)
  } catch (error) {
    if (error instanceof AdapterError) return error
    throw error
  }
}

/** Roles side by side: trouble with one is none of the others'. Gives the outcomes by session name. */
async function denyAll(
  denialsOf: DenialsOf,
  handles: readonly Handle[],
  bounds: Bounds,
): Promise<ReadonlyMap<string, Revoked>> {
  const perRole = groupBy(handles, ({ storeId, roleArn }) => `${storeId} ${roleArn}`)
  const outcomes = await Promise.all(
    [...perRole.values()].map(async (own) => {
      // groupBy makes no empty groups.
      const { storeId, roleArn } = own[0] as Handle
      const sessions = new Map(own.map((handle) => [handle.sessionName, sessionOf(handle)]))
      try {
        return [...(await denialsOf(storeId, roleArn).deny([...sessions.values()], bounds))]
      } catch (error) {
        if (!(error instanceof AdapterError)) throw error
        return [...sessions.keys()].map((name) => [name, { access: 'open', error }] as const)
      }
    }),
  )
  return new Map(outcomes.flat())
}

function sessionOf(handle: Handle): SessionAtHand {
  const { sessionName, issuedAt } = handle
  return {
    name: sessionName,
    issuedAt: issuedAt === undefined ? undefined : wholeSeconds(Date.parse(issuedAt)),
    endsAt: Math.ceil(endOf(handle) / 1000),
  }
}

/** Set if there is nothing to tell but that AWS did not answer. */
function outageOf(outcomes: readonly Revoked[]): AdapterError | undefined {
  const errors = outcomes.flatMap((outcome) => (outcome.access === 'open' ? [outcome.error] : []))
  const isOutage = outcomes.length > 0 && errors.length === outcomes.length
  return isOutage ? errors.find(({ failure }) => failure !== 'failed') : undefined
}

function unknownOutcome(): AdapterError {
  return new AdapterError('failed', 'nothing is known of this session', { settled: false })
}
