import type { Core } from '../core.ts'
import type { Grant } from '../grants/grant.ts'
import type { MintedGrant } from '../grants/mint-grants.ts'
import type { Task } from '../tasks/task.ts'

export function taskView(task: Task): Record<string, unknown> {
  const { owner, createdAt, expiresAt, endedAt, ...facts } = task
  return {
    ...facts,
    workload: owner,
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    endedAt: endedAt?.toISOString() ?? null,
  }
}

export function grantView(core: Core, grant: Grant): Record<string, unknown> {
  return {
    id: grant.id,
    taskId: grant.taskId,
    resource: grant.resource,
    access: grant.access,
    adapter: grant.adapter,
    state: grant.state,
    requestedAt: grant.requestedAt.toISOString(),
    issuedAt: ('issuedAt' in grant ? grant.issuedAt?.toISOString() : null) ?? null,
    expiresAt: grant.expiresAt.toISOString(),
    revokedAt: 'revokedAt' in grant ? grant.revokedAt.toISOString() : null,
    revokeReason: 'revokeReason' in grant ? grant.revokeReason : null,
    handle: grant.handle,
    deferredUntil: deferredUntil(grant),
    stuck: grant.stuck,
    lastError: grant.lastError,
    residue: 'residue' in grant ? grant.residue : null,
    guarantees: core.resources.get(grant.resource)?.adapter.guarantees ?? null,
  }
}

/** What is still to end, and why. */
export function outstandingView(grant: Grant): Record<string, unknown> {
  return {
    grantId: grant.id,
    resource: grant.resource,
    state: grant.state,
    deferredUntil: deferredUntil(grant),
    lastError: grant.lastError,
  }
}

function deferredUntil(grant: Grant): string | null {
  return grant.state === 'revoking' && grant.deferredUntil !== null ? grant.deferredUntil.toISOString() : null
}

/** The one place where a credential is taken out of its wrapper: the answer to the caller who asked for it. */
export function mintedView(core: Core, { grant, credential }: MintedGrant): Record<string, unknown> {
  return { grant: grantView(core, grant), credential: credential.reveal() }
}

/** A page of items that are ordered by `cursorOf`; there may be more if it is full. Only visible items are shown. */
export function pageView<Item>(
  items: readonly Item[],
  limit: number,
  cursorOf: (item: Item) => unknown,
  view: (item: Item) => unknown,
  isVisible: (item: Item) => boolean = () => true,
): Record<string, unknown> {
  const last = items.at(-1)
  return {
    items: items.filter(isVisible).map(view),
    next: items.length < limit || last === undefined ? null : cursorOf(last),
  }
}
