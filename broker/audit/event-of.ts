import type { Decision } from '../policy/policy-engine.ts'
import type { Grant } from '../grants/grant.ts'
import type { Owner, Task } from '../tasks/task.ts'
import type { AuditEvent, EventType, Performer } from './event.ts'

/** Who causes events, in which request. */
export interface Origin {
  readonly performedBy: Performer
  readonly requestId?: string | undefined
  readonly traceId?: string | undefined
}

type About = Omit<AuditEvent, 'type' | 'performedBy' | 'requestId' | 'traceId'>
/** What every event of a task says of it. */
export type TaskFacts = Pick<Task, 'id' | 'purpose' | 'owner' | 'onBehalfOf' | 'actors' | 'labels'>
type GrantFacts = Pick<Grant, 'id' | 'resource' | 'access' | 'adapter' | 'handle'>

export function eventOf(type: EventType, origin: Origin, about: About = {}): AuditEvent {
  return {
    ...about,
    type,
    performedBy: origin.performedBy,
    requestId: origin.requestId,
    traceId: origin.traceId,
  }
}

export function taskEvent(type: EventType, origin: Origin, task: TaskFacts, about: About = {}): AuditEvent {
  return eventOf(type, origin, {
    taskId: task.id,
    purpose: task.purpose,
    workload: task.owner,
    onBehalfOf: task.onBehalfOf,
    actors: task.actors,
    labels: task.labels,
    ...about,
  })
}

export function grantEvent(
  type: EventType,
  origin: Origin,
  task: TaskFacts,
  grant: GrantFacts,
  about: About = {},
): AuditEvent {
  return taskEvent(type, origin, task, {
    grantId: grant.id,
    resource: grant.resource,
    access: grant.access,
    adapter: grant.adapter,
    handle: grant.handle,
    ...about,
  })
}

export function decided(decision: Decision): About {
  return {
    action: decision.action,
    decision: decision.allowed ? 'allow' : 'deny',
    policies: decision.policies,
    policySet: decision.policySet,
    ...(decision.errors.length > 0 ? { error: decision.errors.join('; ').slice(0, 1_000) } : {}),
  }
}

export function workloadPerformer(workload: Owner): Performer {
  return { kind: 'workload', id: workload.id, issuer: workload.issuer, subject: workload.subject }
}
