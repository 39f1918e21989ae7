import type { Revoked } from '../../broker/adapter.ts'
import { within, type Bounds } from './bounds.ts'
import type { Aws } from './clients.ts'
import { denySessions, type SessionAtHand } from './deny-sessions.ts'
import { AwsFailure } from './failure.ts'
import type { Identity } from './identity.ts'
import { roleNameOf } from './role-arn.ts'
import { rolePolicies } from './role-policies.ts'
import type { Settings } from './settings.ts'
import { keepUp, type Keeping, type Kept } from './upkeep.ts'

/** After so many new documents, it is time to merge them. */
const PUTS_PER_UPKEEP = 8
/** Whoever withdrew waits no longer for upkeep that follows. */
const UPKEEP_MS = 3_000

/** The denials that one store has put on one role. */
export interface RoleDenials {
  readonly storeId: string
  /** Gives the outcomes by session name. @throws {AwsFailure} if nothing could be tried */
  deny(sessions: readonly SessionAtHand[], bounds: Bounds): Promise<ReadonlyMap<string, Revoked>>
  /** @throws {AwsFailure} once it has done what it could */
  keepUp(bounds: Bounds): Promise<void>
}

export interface DenialsSetup {
  readonly aws: Aws
  readonly identity: Identity
  readonly whenFull: Settings['whenFull']
  readonly replaceAfterSeconds: number
}

/** Of every role that this process has to do with. */
export type DenialsOf = (storeId: string, roleArn: string) => RoleDenials

export function openDenials(setup: DenialsSetup): DenialsOf {
  const opened = new Map<string, RoleDenials>()
  return (storeId, roleArn) => {
    const key = `${storeId} ${roleArn}`
    const found = opened.get(key) ?? roleDenials(setup, storeId, roleArn)
    opened.set(key, found)
    return found
  }
}

function roleDenials(setup: DenialsSetup, storeId: string, roleArn: string): RoleDenials {
  const { aws, identity, whenFull, replaceAfterSeconds } = setup
  const keeping: Keeping = {
    policies: rolePolicies(aws, roleNameOf(roleArn).name),
    storeId,
    clock: aws.clock,
    replaceAfterSeconds,
    keepsReserve: whenFull === 'deny-older',
    known: new Map(),
  }
  let puts = 0
  let running: Promise<Kept> | undefined

  /** Whoever comes while it is under way gets the same result: it would do nothing else. */
  async function keepUpOnce(bounds: Bounds): Promise<Kept> {
    if (running === undefined) {
      puts = 0
      running = keepUp(keeping, bounds).finally(() => {
        running = undefined
      })
    }
    return running
  }

  return {
    storeId,

    async deny(sessions, bounds) {
      await identity.requireAccountOf(roleArn, bounds)
      const onPut = (): void => {
        puts += 1
      }
      const outcomes = await denySessions(
        { keeping, whenFull, makeRoom: keepUpOnce, onPut },
        sessions,
        bounds,
      )
      if (puts >= PUTS_PER_UPKEEP) {
        await keepUpOnce(within(bounds, UPKEEP_MS)).catch((error: unknown) => {
          // Access has ended, and the next one tries again.
          if (!(error instanceof AwsFailure)) throw error
        })
      }
      return outcomes
    },

    async keepUp(bounds) {
      await identity.requireAccountOf(roleArn, bounds)
      await keepUpOnce(bounds)
    },
  }
}
