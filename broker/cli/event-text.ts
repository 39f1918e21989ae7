import type { AuditEvent } from './api-types.ts'
import { plainLine } from './plain-text.ts'

/** Who did it: a workload, or a part of the broker. */
export function performerOf({ performedBy }: AuditEvent): string {
  const { kind, id, part } = performedBy
  if (typeof id === 'string') return id
  if (typeof part === 'string') return `(${part})`
  return `(${String(kind)})`
}

export function accessOf({ resource, access }: AuditEvent): string {
  return [resource, access].filter((part) => part !== null && part !== undefined).join('/')
}

/** What else an event says, in one line. */
export function detailOf(event: AuditEvent): string {
  const parts = [
    event.type === 'task.opened' ? JSON.stringify(event.purpose) : undefined,
    event.type === 'task.opened' && event.onBehalfOf ? `on behalf of ${event.onBehalfOf.id}` : undefined,
    event.decision ? decisionOf(event) : undefined,
    event.reason,
    event.error ? `error: ${event.error}` : undefined,
  ]
  return parts.filter((part) => part !== null && part !== undefined && part !== '').join(', ')
}

function decisionOf({ decision, policies }: AuditEvent): string {
  const by = policies?.length ? policies.join('+') : 'default'
  return `${decision} by ${by}`
}

export function timeOf({ occurredAt }: AuditEvent): string {
  const time = new Date(occurredAt)
  return Number.isNaN(time.getTime()) ? occurredAt : time.toISOString()
}

const TYPE_WIDTH = 22
const PERFORMER_WIDTH = 16

/** For a stream of events, whose widths cannot be known in advance. */
export function eventLine(event: AuditEvent): string {
  const task = event.taskId ? `task ${event.taskId}` : ''
  const about = [accessOf(event), task, detailOf(event)].filter((part) => part !== '').join('  ')
  return plainLine(
    `${timeOf(event)}  ${event.type.padEnd(TYPE_WIDTH)} ${performerOf(event).padEnd(PERFORMER_WIDTH)} ${about}`,
  ).trimEnd()
}
