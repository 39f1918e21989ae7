import { z } from 'zod'
import { AdapterError, type Adapter, type AdapterKind, type ResourceSetup } from '../../broker/adapter.ts'
import { openAwsClock } from './aws-clock.ts'
import { boundsOf } from './bounds.ts'
import { openCheck } from './check.ts'
import { openAws } from './clients.ts'
import { planHandle } from './handle.ts'
import { openIdentity } from './identity.ts'
import { issueSession } from './issue.ts'
import { openLongestSessions } from './longest-session.ts'
import { openNeverMade } from './never-made.ts'
import { revokeSessions } from './revoke.ts'
import { openDenials } from './role-denials.ts'
import { access, settings, type Access, type Settings } from './settings.ts'

/** A session of an AWS role per grant. */
export const awsStsAdapter: AdapterKind<typeof settings, typeof access> = {
  kind: 'aws-sts',
  settings,
  access,
  create: (setup) => createAwsStsAdapter(setup),
}

/** What is no matter of configuration. */
export interface Surroundings {
  /** Our clock, in milliseconds since 1970. */
  readonly now: () => number
  /** How long a policy must have stood until what it replaces is removed. */
  readonly spreadSeconds: number
}

/**
 * AWS does not say more than that IAM is eventually consistent. A denial is missing somewhere only if the put of one
 * policy arrives there this much later than the removal, ordered this much later, of another of the same role.
 */
const SURROUNDINGS: Surroundings = { now: Date.now, spreadSeconds: 60 }
const NO_PARAMS = z.strictObject({})

export function createAwsStsAdapter(
  setup: ResourceSetup<Settings, Access>,
  { now, spreadSeconds }: Surroundings = SURROUNDINGS,
): Adapter {
  const { accesses, settings: own } = setup
  const clock = openAwsClock(now)
  const aws = openAws(own, clock)
  const identity = openIdentity(aws)
  const neverMade = openNeverMade()
  const assumeLongest = openLongestSessions(aws)
  const issuing = { settings: own, clock, assumeLongest, neverMade }
  const denies = own.revocation === 'deny'
  const denialsOf = denies ? openDenials({ aws, identity, whenFull: own.whenFull, spreadSeconds }) : undefined
  const roles = [...new Set(Array.from(accesses.values(), ({ roleArn }) => roleArn))]
  const check = openCheck(aws, identity, denies ? roles : [])

  function accessOf(name: string): Access {
    const found = accesses.get(name)
    if (found !== undefined) return found
    throw new AdapterError('failed', 'there is no such access', { settled: true })
  }

  return {
    kind: 'aws-sts',
    sideEffects: true,
    guarantees: { nativeExpiry: 'exact', revocation: denies ? 'eventual' : 'expiry-only' },

    params: () => NO_PARAMS,

    plan: (grant) => planHandle(accessOf(grant.access).roleArn, grant),

    issue: async (grant, handle, call) =>
      issueSession(issuing, grant, handle, accessOf(grant.access), boundsOf(call)),

    revoke: (handles, call) =>
      revokeSessions({ clock, identity, neverMade, denialsOf }, handles, boundsOf(call)),

    async prune(storeId, call) {
      if (denialsOf === undefined) return
      const bounds = boundsOf(call)
      const pruned = await Promise.allSettled(roles.map((arn) => denialsOf(storeId, arn).keepUp(bounds)))
      for (const one of pruned) if (one.status === 'rejected') throw one.reason
    },

    check: (call) => check(boundsOf(call)),

    async [Symbol.asyncDispose]() {
      aws.close()
    },
  }
}
