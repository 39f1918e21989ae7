import { z } from 'zod'
import { AdapterError, type Adapter, type AdapterKind, type ResourceSetup } from '../../broker/adapter.ts'
import { openAwsClock } from './aws-clock.ts'
import { boundsOf } from './bounds.ts'
import { openCheck } from './check.ts'
import { openAws } from './clients.ts'
import { fewAtOnce, valuesOf } from './few-at-once.ts'
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
  /** How long after its name was made a policy may be relied on by those who remove what it replaces. */
  readonly replaceAfterSeconds: number
}

/**
 * 10 s in which a policy is put, 10 on its way when nobody waits for it any more, and a minute for IAM, of which AWS says
 * no more than that it is eventually consistent. A denial is missing somewhere only if it takes a policy this much longer
 * to get there than the removal of another of the same role.
 */
const SURROUNDINGS: Surroundings = { now: Date.now, replaceAfterSeconds: 80 }
const NO_PARAMS = z.strictObject({})

export function createAwsStsAdapter(
  setup: ResourceSetup<Settings, Access>,
  { now, replaceAfterSeconds }: Surroundings = SURROUNDINGS,
): Adapter {
  const { accesses, settings: own } = setup
  const clock = openAwsClock(now)
  const aws = openAws(own, clock)
  const identity = openIdentity(aws)
  const neverMade = openNeverMade()
  const assumeLongest = openLongestSessions(aws)
  const issuing = { settings: own, clock, assumeLongest, neverMade }
  const denies = own.revocation === 'deny'
  const denialsOf = denies
    ? openDenials({ aws, identity, whenFull: own.whenFull, replaceAfterSeconds })
    : undefined
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
      valuesOf(await fewAtOnce(roles, (arn) => denialsOf(storeId, arn).keepUp(bounds)))
    },

    check: (call) => check(boundsOf(call)),

    async [Symbol.asyncDispose]() {
      aws.close()
    },
  }
}
