import { AdapterError, type Revoked } from '../../broker/adapter.ts'
import { wholeSeconds } from './aws-clock.ts'
import { within, type Bounds } from './bounds.ts'
import { olderDocument, tailOf } from './denial-document.ts'
import { olderDenial, reserveName } from './denial-name.ts'
import { AwsFailure, refused } from './failure.ts'
import { chunked } from './few-at-once.ts'
import { CLOCK_SECONDS, MAX_SESSIONS } from './plan-upkeep.ts'
import { isFull, type RolePolicies } from './role-policies.ts'
import { putDenial, PUT_MS, type Keeping, type Kept } from './upkeep.ts'

const ENDED: Revoked = { access: 'ended', removed: true }
/** The longest session that AWS gives. */
const LONGEST_SECONDS = 12 * 3600
/** Room is made, and then the denial is tried again: time is kept for that. */
const KEEP_FOR_DENYING = 2 / 3

/** A session to be denied. Times in seconds since 1970. */
export interface SessionAtHand {
  readonly name: string
  /** Undefined: it is not known whether it was ever opened. */
  readonly issuedAt: number | undefined
  /** It opens nothing from then on anyway. */
  readonly endsAt: number
}

export interface Denying {
  readonly keeping: Keeping
  readonly whenFull: 'refuse' | 'deny-older'
  /** @throws {AwsFailure} */
  readonly makeRoom: (bounds: Bounds) => Promise<Kept>
  readonly onPut: () => void
}

/**
 * Denies these sessions of one role, many with one document. Gives the outcomes by name; a document that could not be
 * put says nothing about the others.
 */
export async function denySessions(
  denying: Denying,
  sessions: readonly SessionAtHand[],
  bounds: Bounds,
): Promise<ReadonlyMap<string, Revoked>> {
  const outcomes = new Map<string, Revoked>()
  const settle = (some: readonly SessionAtHand[], outcome: Revoked): void => {
    for (const { name } of some) outcomes.set(name, outcome)
  }
  // Sessions that end at about the same time share a document, which can go when they have ended.
  const sorted = sessions.toSorted((one, other) => one.endsAt - other.endsAt || compare(one.name, other.name))
  let left = chunked(sorted, MAX_SESSIONS)
  let kept: Kept | undefined
  for (let chunk = left.shift(); chunk !== undefined; chunk = left.shift()) {
    const error = await tryPut(denying, chunk, bounds)
    if (error === undefined) {
      settle(chunk, ENDED)
    } else if (!isFull(error)) {
      settle(chunk, openWith(error))
    } else if (kept === undefined) {
      kept = await tryMakeRoom(denying, bounds)
      const { olderThan } = kept
      const rest = [chunk, ...left]
      const isDenied = ({ issuedAt }: SessionAtHand): boolean =>
        issuedAt !== undefined && issuedAt < olderThan
      settle(rest.flat().filter(isDenied), ENDED)
      left = rest.map((one) => one.filter((session) => !isDenied(session))).filter((one) => one.length > 0)
    } else if (denying.whenFull === 'deny-older') {
      const rest = [chunk, ...left.splice(0)].flat()
      settle(rest, await denyOlder(denying.keeping, rest, kept, bounds))
    } else if (chunk.length > 1) {
      left.unshift(...chunked(chunk, Math.ceil(chunk.length / 2)))
    } else {
      settle([chunk, ...left.splice(0)].flat(), openWith(noRoom(denying.keeping.policies)))
    }
  }
  return outcomes
}

/** Undefined if it is done. */
async function tryPut(
  { keeping, onPut }: Denying,
  sessions: readonly SessionAtHand[],
  bounds: Bounds,
): Promise<AwsFailure | undefined> {
  const until = Math.max(...sessions.map(({ endsAt }) => endsAt))
  const tails = sessions.map(({ name }) => tailOf(name))
  try {
    await putDenial(keeping, tails, until, bounds)
  } catch (error) {
    if (error instanceof AwsFailure) return explained(error, keeping.policies)
    throw error
  }
  onPut()
  return undefined
}

async function tryMakeRoom({ makeRoom }: Denying, bounds: Bounds): Promise<Kept> {
  try {
    return await makeRoom(within(bounds, bounds.remainingMs() * KEEP_FOR_DENYING))
  } catch (error) {
    if (error instanceof AdapterError) return { olderThan: 0, hasReserve: false }
    throw error
  }
}

/**
 * The way out when a role is full: one document denies all sessions of the role that were opened until now, these and
 * their neighbours. The reserve makes room for it, and is no denial, so that nothing is lost if this fails after it.
 */
async function denyOlder(
  { policies, storeId, clock }: Keeping,
  sessions: readonly SessionAtHand[],
  { hasReserve }: Kept,
  bounds: Bounds,
): Promise<Revoked> {
  const soon = wholeSeconds(clock.now()) + CLOCK_SECONDS
  const before = Math.max(soon, ...sessions.map(({ issuedAt }) => (issuedAt ?? 0) + 1))
  const { name } = olderDenial(storeId, before, before + LONGEST_SECONDS)
  try {
    if (hasReserve) await policies.remove(reserveName(storeId), bounds)
    await policies.put(name, olderDocument(before), within(bounds, PUT_MS))
    return ENDED
  } catch (error) {
    if (isFull(error)) return openWith(noRoom(policies))
    if (error instanceof AwsFailure) return openWith(error)
    throw error
  }
}

function openWith(error: AdapterError): Revoked {
  return { access: 'open', error }
}

function noRoom({ role }: RolePolicies): AwsFailure {
  return refused(
    `role ${role} has no room for another denial: its inline policies are at AWS's limit of 10,240 characters. ` +
      'It gets room as denied sessions expire; make them shorter, use more roles, move other inline policies of the ' +
      'role into managed ones, or set whenFull to deny-older',
  )
}

function explained(error: AwsFailure, { role }: RolePolicies): AwsFailure {
  if (error.code === 'NoSuchEntity') {
    return error.toldAs(
      `role ${role} does not exist any more, and whether its sessions still do is not known`,
    )
  }
  if (error.code === 'AccessDenied') {
    return error.toldAs(
      `the broker may not withdraw on role ${role}: allow it iam:PutRolePolicy (AccessDenied)`,
    )
  }
  return error
}

function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
