import { recordEvents } from '../audit/audit-store.ts'
import { decided, eventOf, grantEvent, taskEvent, type Origin } from '../audit/event-of.ts'
import { originOf, type Caller } from '../caller.ts'
import { sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import { countOutstanding, storeNow } from '../grants/grant-overview-store.ts'
import { startWithdrawalOfResource, startWithdrawalOfTasks } from '../grants/grant-store.ts'
import type { JsonObject } from '../json.ts'
import { authorize } from '../policy/authorize.ts'
import { chooseOpenTasks, findTasks, finishTasks, startEnding } from './task-store.ts'

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
  /** How many tasks and grants this order ended; what was ending already is not counted. */
  readonly tasks: number
  readonly grants: number
  /** How many grants of the target may still open something, whoever ordered their end. */
  readonly outstanding: number
}

const BATCH = 500
const LOOK_AGAIN_MS = 100

type About = ReturnType<typeof decided>

/**
 * Ends every open task of a workload, of a user, or of all; or withdraws every grant of a resource and leaves its
 * tasks open. The order is recorded first, then in the trail of everything that it ends; it is carried out in batches,
 * so that no lock is held for long.
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
  const origin = originOf(caller)
  const about = { ...decided(decision), reason, detail }
  await recordEvents(core.db.auto, [eventOf('revocation.ordered', origin, { ...about, ...resource })])
  const orderedAt = await storeNow(core.db.auto)

  const ended =
    'resource' in target
      ? await revokeResource(core, target.resource, origin, about)
      : await endTasks(core, 'all' in target ? {} : target, origin, about)
  for (;;) {
    const outstanding = await countOutstanding(core.db.auto, 'all' in target ? {} : target, orderedAt)
    if (outstanding === 0 || Date.now() >= deadline || core.background.stopping.aborted) {
      return { ...ended, outstanding }
    }
    await sleep(LOOK_AGAIN_MS, core.background.stopping)
  }
}

interface Ended {
  readonly tasks: number
  readonly grants: number
}

async function revokeResource(core: Core, resource: string, origin: Origin, about: About): Promise<Ended> {
  for (let total = 0; ;) {
    const count = await core.db.transaction(async (session) => {
      const grants = await startWithdrawalOfResource(session, resource, 'revoked', BATCH)
      const tasks = await findTasks(session, [...new Set(grants.map(({ taskId }) => taskId))])
      await recordEvents(
        session,
        grants.flatMap((grant) => {
          const task = tasks.get(grant.taskId)
          return task === undefined ? [] : [grantEvent('grant.withdrawing', origin, task, grant, about)]
        }),
      )
      return grants.length
    })
    total += count
    if (count < BATCH) return { tasks: 0, grants: total }
  }
}

async function endTasks(
  core: Core,
  target: { readonly workload?: string; readonly onBehalfOf?: string },
  origin: Origin,
  about: About,
): Promise<Ended> {
  for (let total = { tasks: 0, grants: 0 }; ;) {
    const batch = await core.db.transaction(async (session) => {
      const ids = await chooseOpenTasks(session, target, BATCH)
      const tasks = await startEnding(session, ids, 'revoked')
      const grants = await startWithdrawalOfTasks(session, ids, 'task_revoked', 0)
      const finished = await finishTasks(session, ids)
      await recordEvents(session, [
        ...tasks.map((task) => taskEvent('revocation.ordered', origin, task, about)),
        ...finished.map((task) => taskEvent('task.ended', origin, task, { reason: 'revoked' })),
      ])
      return { tasks: tasks.length, grants: grants.length }
    })
    total = { tasks: total.tasks + batch.tasks, grants: total.grants + batch.grants }
    if (batch.tasks < BATCH) return total
  }
}
