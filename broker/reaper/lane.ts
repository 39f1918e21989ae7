import type { Core } from '../core.ts'
import { claimDueGrants } from '../grants/grant-store.ts'
import { withdrawGrants, type WithdrawalSummary } from '../grants/withdraw-grants.ts'
import { REAPER } from '../tasks/expire-tasks.ts'

/** What one pass over one resource came to. `claimed` equal to the batch size means that there may be more. */
export interface LanePass extends WithdrawalSummary {
  readonly claimed: number
}

/** Claims one batch of what is due on a resource and withdraws it. */
export async function runLane(core: Core, resource: string): Promise<LanePass> {
  const { withdrawBatch, withdrawLeaseSeconds } = core.timing
  const grants = await claimDueGrants(core.db.auto, resource, withdrawBatch, withdrawLeaseSeconds)
  const summary = await withdrawGrants(core, grants, REAPER)
  return { ...summary, claimed: grants.length }
}
