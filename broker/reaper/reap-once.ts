import { placeEvents } from '../audit/audit-store.ts'
import { sleep } from '../clock.ts'
import type { Core, Resource } from '../core.ts'
import { messageOf } from '../errors.ts'
import { countTroubles, type Troubles } from '../grants/grant-overview-store.ts'
import { expireTasks, finishEmptyTasks } from '../tasks/expire-tasks.ts'
import { runLane } from './lane.ts'
import { prune } from './prune.ts'
import { reconcile } from './reconcile.ts'

const TASK_BATCH = 500
const EVENT_BATCH = 2_000
const LOOK_AGAIN_MS = 200

export interface ReapSummary {
  readonly tasksExpired: number
  readonly tasksEnded: number
  readonly accessEnded: number
  readonly removed: number
  readonly orphansRemoved: number
  /** Grants past their end whose access has not ended, by resource; with it whatever is stuck or left over. */
  readonly left: readonly Troubles[]
  /** What went wrong, by resource. */
  readonly failures: readonly { readonly resource: string; readonly message: string }[]
}

/**
 * Withdraws all that is due, for cron. Waits until `timeoutSeconds` for rows that a broker holds in a lease: if that
 * broker was killed, they come back. It has done its job if nothing is overdue afterwards and nothing failed.
 *
 * @throws {BrokerError} `store_unavailable`
 */
export async function reapOnce(core: Core, timeoutSeconds: number): Promise<ReapSummary> {
  const deadline = Date.now() + timeoutSeconds * 1000
  const tasksExpired = await drain(TASK_BATCH, () => expireTasks(core, TASK_BATCH))
  const lanes = await Promise.all(
    [...core.resources.values()].map((resource) => reapResource(core, resource, deadline)),
  )
  const tasksEnded = await drain(TASK_BATCH, () => finishEmptyTasks(core, TASK_BATCH))
  await drain(EVENT_BATCH, () => core.db.transaction((session) => placeEvents(session, EVENT_BATCH)))
  const sum = (of: (lane: LaneSummary) => number): number =>
    lanes.reduce((total, lane) => total + of(lane), 0)
  return {
    tasksExpired,
    tasksEnded,
    accessEnded: sum((lane) => lane.accessEnded),
    removed: sum((lane) => lane.removed),
    orphansRemoved: sum((lane) => lane.orphansRemoved),
    left: await countTroubles(core.db.auto, core.resources.keys()),
    failures: lanes.flatMap((lane) => lane.failures),
  }
}

async function drain(batch: number, work: () => Promise<number>): Promise<number> {
  let total = 0
  for (;;) {
    const done = await work()
    total += done
    if (done < batch) return total
  }
}

interface LaneSummary {
  accessEnded: number
  removed: number
  orphansRemoved: number
  failures: { resource: string; message: string }[]
}

async function reapResource(core: Core, resource: Resource, deadline: number): Promise<LaneSummary> {
  const summary: LaneSummary = { accessEnded: 0, removed: 0, orphansRemoved: 0, failures: [] }
  for (;;) {
    const pass = await runLane(core, resource.name)
    summary.accessEnded += pass.accessEnded
    summary.removed += pass.removed
    if (pass.claimed === core.timing.withdrawBatch) continue
    const [left] = (await countTroubles(core.db.auto, core.resources.keys())).filter(
      (trouble) => trouble.resource === resource.name,
    )
    if (left === undefined || left.overdue === 0) break
    if (pass.failed > 0 || Date.now() >= deadline) {
      summary.failures.push({ resource: resource.name, message: `${left.overdue} grants are overdue` })
      break
    }
    await sleep(LOOK_AGAIN_MS)
  }
  try {
    summary.orphansRemoved = await reconcile(core, resource)
    await prune(core, resource)
  } catch (error) {
    summary.failures.push({ resource: resource.name, message: messageOf(error) })
  }
  return summary
}
