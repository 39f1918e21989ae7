import { AdapterError } from '../adapter.ts'
import { recordEvents } from '../audit/audit-store.ts'
import { decided, grantEvent } from '../audit/event-of.ts'
import { originOf, type Caller } from '../caller.ts'
import { callAdapter } from '../call.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import { decide, refuse } from '../policy/authorize.ts'
import { isOwner } from '../tasks/find-own-task.ts'
import type { Task } from '../tasks/task.ts'
import { findVisibleGrant } from './find-grant.ts'
import { extendGrant, findGrant, restoreExpiry, type Extended } from './grant-store.ts'
import { toBrokerError } from './mint-grants.ts'
import type { Grant } from './grant.ts'
import { questionContext } from './plan-grants.ts'

/** Two renewals at once settle in two rounds; more rounds mean that somebody renews without pause. */
const ROUNDS = 5

/**
 * Moves the end of an active grant, within what policy, the access and the task allow. The store is told first, so
 * that the credential never outlives its record; if the backend refuses for certain, the record goes back.
 *
 * @throws {BrokerError} `not_found`, `denied`, `not_renewable`, `backend_…`, `store_unavailable`
 */
export async function renewGrant(
  core: Core,
  caller: Caller,
  grantId: string,
  askedSeconds: number | undefined,
): Promise<Grant> {
  const { grant, task } = await findVisibleGrant(core, caller, grantId)
  if (!isOwner(task, caller.workload)) throw new BrokerError('not_found', 'there is no such grant')
  const resource = core.resources.get(grant.resource)
  const access = resource?.accesses.get(grant.access)
  if (resource?.adapter.renew === undefined || access === undefined) {
    throw new BrokerError('not_renewable', 'grants of this resource cannot be renewed; ask for a new one')
  }
  if (grant.state !== 'active') throw notActive()

  const asked = askedSeconds ?? access.maxTtlSeconds
  const on = { kind: 'access', resource: grant.resource, access: grant.access } as const
  const decision = decide(core, caller, 'renewGrant', on, questionContext(task, asked))
  if (!decision.allowed) {
    await refuse(core, caller, decision, {
      taskId: task.id,
      grantId,
      resource: grant.resource,
      access: grant.access,
    })
  }
  const ttlSeconds = Math.min(asked, access.maxTtlSeconds, decision.maxTtlSeconds ?? Infinity)
  const origin = originOf(caller)
  const extended = await core.db.transaction(async (session) => {
    const moved = await extendGrant(session, grantId, ttlSeconds)
    if (moved === undefined) throw notActive()
    const { grant: row, previous } = moved
    const detail = { from: previous.toISOString(), to: row.expiresAt.toISOString() }
    await recordEvents(session, [
      grantEvent('grant.renewed', origin, task, row, { ...decided(decision), detail }),
    ])
    return moved
  })
  try {
    return await carryOut(core, extended.grant)
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error
    await noteFailure(core, caller, task, extended, error)
    throw toBrokerError(error)
  }
}

function notActive(): BrokerError {
  return new BrokerError('not_renewable', 'the grant is not active any more')
}

/** Tells the backend, until what it was told last is what the store says: renewals may overtake each other. */
async function carryOut(core: Core, extended: Grant): Promise<Grant> {
  const adapter = core.resources.get(extended.resource)?.adapter
  let told = extended
  for (let round = 0; round < ROUNDS; round += 1) {
    await callAdapter(core.timing.issueTimeoutMs, async (call) =>
      adapter?.renew?.(told.handle, told.expiresAt, call),
    )
    const current = await findGrant(core.db.auto, extended.id)
    if (current?.state !== 'active') throw notActive()
    if (current.expiresAt.getTime() === told.expiresAt.getTime()) return current
    told = current
  }
  throw new BrokerError('backend_unavailable', 'the grant is renewed by too many at once', {
    retryAfterSeconds: 1,
  })
}

/** The record goes back unless the backend may have been told after all, or somebody has moved the end since. */
async function noteFailure(
  core: Core,
  caller: Caller,
  task: Task,
  { grant, previous }: Extended,
  error: AdapterError,
): Promise<void> {
  await core.db.transaction(async (session) => {
    if (error.settled) await restoreExpiry(session, grant.id, grant.expiresAt, previous)
    const about = {
      error: error.message,
      detail: { settled: error.settled, previous: previous.toISOString() },
    }
    await recordEvents(session, [grantEvent('grant.renew_failed', originOf(caller), task, grant, about)])
  })
}
