import { AdapterError, type Found, type Revoked } from '../adapter.ts'
import { recordEvents } from '../audit/audit-store.ts'
import { eventOf, type Origin } from '../audit/event-of.ts'
import { callAdapter } from '../call.ts'
import type { Core, Resource } from '../core.ts'
import { ownedGrants } from '../grants/grant-overview-store.ts'

const PAGE = 500
const LIST_TIMEOUT_MS = 120_000
const RECONCILE: Origin = { performedBy: { kind: 'broker', part: 'reconcile' } }

/**
 * Compares what a backend holds under our naming with the grants of the store, and withdraws what no grant owns.
 * The backend is read first: whatever exists there had its row before, so a grant that is being issued is never
 * taken for an orphan. Answers how many were removed.
 *
 * @throws {AdapterError | BrokerError} if the backend or the store cannot be read
 */
export async function reconcile(core: Core, resource: Resource): Promise<number> {
  const { adapter } = resource
  if (adapter.list === undefined) return 0
  const found: Found[] = await callAdapter(LIST_TIMEOUT_MS, async (call) => {
    const all: Found[] = []
    for await (const one of adapter.list?.(core.storeId, call) ?? []) all.push(one)
    return all
  })
  let removed = 0
  const left: string[] = []
  for (let start = 0; start < found.length; start += PAGE) {
    const page = await removeOrphans(core, resource, found.slice(start, start + PAGE))
    removed += page.removed
    left.push(...page.left)
  }
  if (left.length > 0) {
    const message = `${left.length} orphans could not be removed: ${left[0]}`
    throw new AdapterError('failed', message, { settled: false })
  }
  return removed
}

interface OrphanPage {
  readonly removed: number
  /** What is in the way, for each that is still there. */
  readonly left: readonly string[]
}

async function removeOrphans(core: Core, resource: Resource, found: readonly Found[]): Promise<OrphanPage> {
  const owned = await ownedGrants(
    core.db.auto,
    found.map(({ grantId }) => grantId),
  )
  const orphans = found.filter(({ grantId }) => !owned.has(grantId))
  if (orphans.length === 0) return { removed: 0, left: [] }
  const handles = orphans.map(({ handle }) => handle)
  const outcomes = await callAdapter(core.timing.withdrawTimeoutMs, (call) =>
    resource.adapter.revoke(handles, call),
  )
  const removed = orphans.filter((_, index) => whatIsLeft(outcomes[index]) === undefined)
  await recordEvents(
    core.db.auto,
    removed.map(({ grantId, handle }) =>
      eventOf('reconcile.orphan_removed', RECONCILE, {
        grantId,
        handle,
        resource: resource.name,
        adapter: resource.adapter.kind,
        reason: 'no grant of this store owns it',
      }),
    ),
  )
  core.metrics.orphansRemoved.inc({ resource: resource.name }, removed.length)
  return { removed: removed.length, left: orphans.flatMap((_, index) => whatIsLeft(outcomes[index]) ?? []) }
}

function whatIsLeft(outcome: Revoked | undefined): string | undefined {
  if (outcome?.access === 'ended') return outcome.removed ? undefined : outcome.residue
  if (outcome?.access === 'expiring') return `it lasts until ${outcome.endsAt.toISOString()}`
  return outcome?.error.message ?? 'the adapter said nothing about it'
}
