import { callAdapter } from '../call.ts'
import type { Core, Resource } from '../core.ts'

const PRUNE_TIMEOUT_MS = 60_000

/**
 * Lets a backend remove what earlier withdrawals left there and nobody needs any more.
 *
 * @throws {AdapterError} if it does not; it is tried again
 */
export async function prune(core: Core, { adapter }: Resource): Promise<void> {
  if (adapter.prune === undefined) return
  await callAdapter(PRUNE_TIMEOUT_MS, async (call) => adapter.prune?.(core.storeId, call))
}
