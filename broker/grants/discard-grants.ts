import { grantEvent, type Origin, type TaskFacts } from '../audit/event-of.ts'
import { recordEvents } from '../audit/audit-store.ts'
import { callAdapter } from '../call.ts'
import type { Core } from '../core.ts'
import { groupBy } from '../group-by.ts'
import { startWithdrawal } from './grant-store.ts'
import type { Grant, RevokeReason } from './grant.ts'
import { untilRecorded } from './until-recorded.ts'
import { withdrawGrants } from './withdraw-grants.ts'

export interface Discard {
  readonly reason: RevokeReason
  /** What went wrong with each grant, by id. */
  readonly errors?: ReadonlyMap<string, string | undefined>
  /** Grants whose issue may still take hold on the backend. */
  readonly unsettled?: ReadonlySet<string>
}

/**
 * Withdraws grants that this process made or tried to make and that nobody will receive. If the store is away, the
 * backend is told at once all the same, and the store as soon as it is back. Never throws.
 */
export async function discardGrants(
  core: Core,
  task: TaskFacts,
  grants: readonly Grant[],
  origin: Origin,
  discard: Discard,
): Promise<void> {
  const what = { message: 'discarded grants are not recorded yet', taskId: task.id }
  await untilRecorded(
    core,
    what,
    () => recordAndWithdraw(core, task, grants, origin, discard),
    () => revokeUnrecorded(core, grants),
  )
}

/** The same for grants that were to be recorded as issued, when nobody can say whether they were. */
export async function discardIfRecorded(
  core: Core,
  taskId: string,
  grantIds: readonly string[],
  origin: Origin,
): Promise<void> {
  await untilRecorded(
    core,
    { message: 'grants of unknown state are not withdrawn yet', taskId },
    async () => {
      const { withdrawLeaseSeconds } = core.timing
      const claimed = await core.db.transaction((session) =>
        startWithdrawal(session, grantIds, 'issue_failed', withdrawLeaseSeconds),
      )
      await withdrawGrants(core, claimed, origin)
    },
  )
}

async function recordAndWithdraw(
  core: Core,
  task: TaskFacts,
  grants: readonly Grant[],
  origin: Origin,
  { reason, errors, unsettled }: Discard,
): Promise<void> {
  const ids = grants.map((grant) => grant.id)
  const settled = new Set(ids.filter((id) => unsettled?.has(id) !== true))
  const claimed = await core.db.transaction(async (session) => {
    const started = await startWithdrawal(session, ids, reason, core.timing.withdrawLeaseSeconds)
    const failed = started.filter((grant) => errors?.get(grant.id) !== undefined)
    await recordEvents(
      session,
      failed.map((grant) =>
        grantEvent('grant.failed', origin, task, grant, { error: errors?.get(grant.id), reason }),
      ),
    )
    return started
  })
  // Those that an end or the reaper took meanwhile are withdrawn here as well: it may have come before the issue.
  const taken = grants.filter(({ id }) => !claimed.some((grant) => grant.id === id))
  await withdrawGrants(core, [...claimed, ...taken], origin, settled)
}

async function revokeUnrecorded(core: Core, grants: readonly Grant[]): Promise<void> {
  const perResource = groupBy(grants, (grant) => grant.resource)
  await Promise.allSettled(
    [...perResource].map(async ([resource, own]) => {
      const adapter = core.resources.get(resource)?.adapter
      const handles = own.map((grant) => grant.handle)
      await callAdapter(core.timing.withdrawTimeoutMs, async (call) => adapter?.revoke(handles, call))
    }),
  )
}
