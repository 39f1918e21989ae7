import { placeEvents } from '../audit/audit-store.ts'
import { backoffMs, sleep } from '../clock.ts'
import type { Core } from '../core.ts'
import { expireTasks, finishEmptyTasks } from '../tasks/expire-tasks.ts'
import { pruneAttempts } from '../tasks/idempotency-store.ts'
import { checkBackend } from './check-backend.ts'
import { updateGauges } from './gauges.ts'
import { runLane } from './lane.ts'
import { prune } from './prune.ts'
import { reconcile } from './reconcile.ts'

const TASK_BATCH = 500
const LANES_PER_RESOURCE = 2
const EVENT_BATCH = 2_000
const IDEMPOTENCY_KEY_SECONDS = 24 * 3600
const GAUGE_INTERVAL_MS = 5_000
const PRUNE_INTERVAL_MS = 60_000
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000

/**
 * Withdraws what is due, as long as the process runs. Every resource has a lane of its own, so that a backend that
 * hangs holds up its own grants only. Several brokers may run it on one store.
 */
export function startReaper(core: Core): void {
  const { reapIntervalMs, reconcileIntervalMs } = core.timing
  repeat(
    core,
    'expire tasks',
    reapIntervalMs,
    async () => (await expireTasks(core, TASK_BATCH)) === TASK_BATCH,
  )
  repeat(
    core,
    'finish tasks',
    reapIntervalMs * 4,
    async () => (await finishEmptyTasks(core, TASK_BATCH)) === TASK_BATCH,
  )
  repeat(core, 'place audit events', reapIntervalMs, () => placeAll(core))
  repeat(core, 'update gauges', GAUGE_INTERVAL_MS, () => updateGauges(core))
  repeat(core, 'prune idempotency keys', PRUNE_INTERVAL_MS, () =>
    pruneAttempts(core.db.auto, IDEMPOTENCY_KEY_SECONDS, TASK_BATCH),
  )
  for (const resource of core.resources.values()) {
    // While one records what became of its batch, the other is at the backend with the next one.
    for (let lane = 0; lane < LANES_PER_RESOURCE; lane += 1) {
      repeat(core, `reap ${resource.name}`, reapIntervalMs, async () => {
        const { claimed } = await runLane(core, resource.name)
        return claimed === core.timing.withdrawBatch
      })
    }
    repeat(core, `reconcile ${resource.name}`, reconcileIntervalMs, async () => {
      await reconcile(core, resource)
      await prune(core, resource)
    })
    repeat(core, `check ${resource.name}`, GAUGE_INTERVAL_MS * 2, async () => {
      await checkBackend(core, resource)
    })
  }
}

async function placeAll(core: Core): Promise<boolean> {
  return (await core.db.transaction((session) => placeEvents(session, EVENT_BATCH))) === EVENT_BATCH
}

/** Runs `work` again and again; at once if it answers true (there is more), later and later while it fails. */
function repeat(core: Core, what: string, intervalMs: number, work: () => Promise<boolean | void>): void {
  core.background.start(what, async (stopping) => {
    let failures = 0
    while (!stopping.aborted) {
      try {
        const more = await work()
        if (failures > 0) core.logger.info({ what }, 'works again')
        failures = 0
        if (more === true) continue
        await sleep(intervalMs * (0.8 + Math.random() * 0.4), stopping)
      } catch (error) {
        failures += 1
        if (!stopping.aborted) core.logger.warn({ err: error, what, failures }, 'failed; will try again')
        await sleep(backoffMs(failures, FIRST_RETRY_MS, LAST_RETRY_MS), stopping)
      }
    }
  })
}
