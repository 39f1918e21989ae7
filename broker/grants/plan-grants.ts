import { v7 as uuidv7 } from 'uuid'
import type { AuditEvent } from '../audit/event.ts'
import type { Caller } from '../caller.ts'
import type { Core, Resource } from '../core.ts'
import { BrokerError } from '../errors.ts'
import type { JsonObject } from '../json.ts'
import { decide, refuse, type QuestionContext } from '../policy/authorize.ts'
import type { NewTask } from '../tasks/task-store.ts'
import type { PlannedGrant } from './mint-grants.ts'

/** What a caller asks for. */
export interface GrantWish {
  readonly resource: string
  readonly access: string
  readonly ttlSeconds?: number | undefined
  readonly params: JsonObject
}

type TaskFacts = Pick<NewTask, 'id' | 'purpose' | 'owner' | 'onBehalfOf' | 'actors' | 'labels'>

export function questionContext(task: TaskFacts, ttlSeconds: number): QuestionContext {
  const { purpose, labels, onBehalfOf, actors } = task
  return {
    purpose,
    labels,
    ttlSeconds,
    ...(onBehalfOf === null ? {} : { delegation: { user: onBehalfOf, actors } }),
  }
}

/**
 * Steps 2 and 3 of issuing: decides on every wish and derives its handle. Policy is asked before the configuration
 * is looked at, so that a refusal does not tell which resources exist.
 *
 * @throws {BrokerError} `denied` (recorded), `invalid_request`
 */
export async function planGrants(
  core: Core,
  caller: Caller,
  task: TaskFacts,
  taskSeconds: number,
  wishes: readonly GrantWish[],
): Promise<PlannedGrant[]> {
  const planned: PlannedGrant[] = []
  for (const [index, wish] of wishes.entries()) {
    planned.push(
      await planGrant(core, caller, task, taskSeconds, wish, wishes.length > 1 ? `grants.${index}` : ''),
    )
  }
  return planned
}

async function planGrant(
  core: Core,
  caller: Caller,
  task: TaskFacts,
  taskSeconds: number,
  wish: GrantWish,
  path: string,
): Promise<PlannedGrant> {
  const asked = wish.ttlSeconds ?? taskSeconds
  const on = { kind: 'access', resource: wish.resource, access: wish.access } as const
  const decision = decide(core, caller, 'requestGrant', on, questionContext(task, asked))
  if (!decision.allowed) {
    core.metrics.grantsDenied.inc({ resource: core.resources.has(wish.resource) ? wish.resource : 'unknown' })
    await refuse(core, caller, decision, { ...aboutTask(task), resource: wish.resource, access: wish.access })
  }
  const resource = core.resources.get(wish.resource)
  const access = resource?.accesses.get(wish.access)
  if (resource === undefined || access === undefined) {
    const what = resource === undefined ? 'resource' : 'access'
    throw new BrokerError('invalid_request', `there is no such ${what}`, {
      errors: [{ path: joined(path, what), message: `not in the configuration` }],
    })
  }
  const params = parseParams(resource, wish, path)
  const ttlSeconds = Math.min(asked, taskSeconds, access.maxTtlSeconds, decision.maxTtlSeconds ?? Infinity)
  const id = uuidv7()
  const plan = {
    grantId: id,
    taskId: task.id,
    storeId: core.storeId,
    access: wish.access,
    params,
    workloadId: task.owner.id,
    ttlSeconds,
  }
  const handle = resource.adapter.plan(plan)
  const { kind: adapter } = resource.adapter
  return {
    row: { id, resource: wish.resource, access: wish.access, adapter, handle, ttlSeconds },
    plan,
    resource,
    decision,
  }
}

function parseParams(resource: Resource, { access, params }: GrantWish, path: string): JsonObject {
  const parsed = resource.adapter.params(access).safeParse(params)
  if (parsed.success) return parsed.data
  throw new BrokerError('invalid_request', 'the grant has wrong parameters', {
    errors: parsed.error.issues.map((issue) => ({
      path: joined(path, 'params', ...issue.path.map(String)),
      message: issue.message,
    })),
  })
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('.')
}

function aboutTask(task: TaskFacts): Partial<AuditEvent> {
  const { id, purpose, onBehalfOf, actors, labels } = task
  return { taskId: id, purpose, onBehalfOf, actors, labels }
}
