import { recordEvents } from '../audit/audit-store.ts'
import { decided, eventOf } from '../audit/event-of.ts'
import { originOf, type Caller } from '../caller.ts'
import { sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import type { JsonObject } from '../json.ts'
import { countUnfinished } from '../grants/grant-overview-store.ts'
import { startWithdrawalOfResource, startWithdrawalOfTasks } from '../grants/grant-store.ts'
import { authorize } from '../policy/authorize.ts'
import { chooseOpenTasks, startEnding } from './task-store.ts'

/** Whose access ends: one of the four. */
export type RevocationTarget =
  | { readonly workload: string }
  | { readonly onBehalfOf: string }
  | { readonly resource: string }
  | { readonly all: true }

export interface RevocationOrder {
  readonly target: RevocationTarget
  readonly reason: string
  readonly waitSeconds: number
}

export interface Revocation {
  readonly tasks: number
  readonly grants: number
  /** How many of these grants may still open something. */
  readonly outstanding: number
}

const BATCH = 500
const LOOK_AGAIN_MS = 100

/**
 * Ends every open task of a workload, of a user, or of all; or withdraws every grant of a resource and leaves its
 * tasks open. The order is recorded first; then it is carried out in batches, so that no lock is held for long.
 *
 * @throws {BrokerError} `denied`, `store_unavailable`
 */
export async function orderRevocation(
  core: Core,
  caller: Caller,
  order: RevocationOrder,
): Promise<Revocation> {
  const { target, reason } = order
  const detail: JsonObject = { ...target }
  const resource = 'resource' in target ? { resource: target.resource } : {}
  const decision = await authorize(core, caller, 'revoke', { kind: 'broker' }, { reason, detail })
  const deadline = Date.now() + order.waitSeconds * 1000
  const about = { ...decided(decision), ...resource, reason, detail }
  await recordEvents(core.db.auto, [eventOf('revocation.ordered', originOf(caller), about)])

  const counted =
    'resource' in target ? await revokeResource(core, target.resource) : await endTasks(core, target)
  for (;;) {
    const outstanding = await countUnfinished(core.db.auto, counted.grantIds)
    if (outstanding === 0 || Date.now() >= deadline || core.background.stopping.aborted) {
      return { tasks: counted.tasks, grants: counted.grantIds.length, outstanding }
    }
    await sleep(LOOK_AGAIN_MS, core.background.stopping)
  }
}

interface Counted {
  readonly tasks: number
  readonly grantIds: readonly string[]
}

async function revokeResource(core: Core, resource: string): Promise<Counted> {
  const grantIds: string[] = []
  for (;;) {
    const grants = await core.db.transaction((session) =>
      startWithdrawalOfResource(session, resource, 'revoked', BATCH),
    )
    grantIds.push(...grants.map((grant) => grant.id))
    if (grants.length < BATCH) return { tasks: 0, grantIds }
  }
}

async function endTasks(core: Core, target: RevocationTarget): Promise<Counted> {
  const filter = 'all' in target ? {} : target
  const grantIds: string[] = []
  let tasks = 0
  for (;;) {
    const batch = await core.db.transaction(async (session) => {
      const ids = await chooseOpenTasks(session, filter, BATCH)
      const ended = await startEnding(session, ids, 'revoked')
      const grants = await startWithdrawalOfTasks(session, ids, 'task_revoked', 0)
      return { ended: ended.length, ids: grants.map((grant) => grant.id) }
    })
    tasks += batch.ended
    grantIds.push(...batch.ids)
    if (batch.ended < BATCH) return { tasks, grantIds }
  }
}
