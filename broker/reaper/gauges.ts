import type { Core } from '../core.ts'
import { countTroubles } from '../grants/grant-overview-store.ts'

/** Sets the gauges that describe the store as a whole; every broker shows the same. */
export async function updateGauges(core: Core): Promise<void> {
  const troubles = await countTroubles(core.db.auto, core.resources.keys())
  for (const resource of core.resources.keys()) {
    const found = troubles.find((trouble) => trouble.resource === resource)
    core.metrics.overdue.set({ resource }, found?.overdue ?? 0)
    core.metrics.stuck.set({ resource }, found?.stuck ?? 0)
    core.metrics.residue.set({ resource }, found?.residue ?? 0)
  }
}
