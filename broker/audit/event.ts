import type { JsonObject } from '../json.ts'

export const EVENT_TYPES = [
  'task.opened',
  'task.ending',
  'task.expired',
  'task.ended',
  'grant.requested',
  'grant.denied',
  'grant.issued',
  'grant.failed',
  'grant.renewed',
  'grant.renew_failed',
  'grant.withdrawing',
  'grant.access_ended',
  'grant.removed',
  'grant.revoke_failed',
  'grant.revoke_deferred',
  'grant.stuck',
  'request.denied',
  'identity.rejected',
  'policy.loaded',
  'revocation.ordered',
  'reconcile.orphan_removed',
] as const

export type EventType = (typeof EVENT_TYPES)[number]

/** Who did it: a caller, or a part of the broker itself. */
export type Performer =
  | { readonly kind: 'workload'; readonly id: string; readonly issuer: string; readonly subject: string }
  | { readonly kind: 'broker'; readonly part: 'reaper' | 'reconcile' | 'issuer' | 'start' }
  | { readonly kind: 'unknown' }

/**
 * One entry of the trail. Who (workload, user, actors, performer), what (resource, access, grant, handle), under
 * which rule (action, decision, policies), why (task, purpose, labels, reason): all in this one record.
 */
export interface AuditEvent {
  readonly type: EventType
  readonly performedBy: Performer
  readonly action?: string | undefined
  readonly decision?: 'allow' | 'deny' | undefined
  readonly policies?: readonly string[] | undefined
  readonly policySet?: string | undefined
  readonly workload?: { readonly id: string; readonly issuer: string; readonly subject: string } | undefined
  readonly onBehalfOf?:
    | { readonly id: string; readonly issuer: string; readonly subject: string }
    | null
    | undefined
  readonly actors?: readonly { readonly issuer?: string; readonly subject: string }[] | undefined
  readonly taskId?: string | undefined
  readonly purpose?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly grantId?: string | undefined
  readonly resource?: string | undefined
  readonly access?: string | undefined
  readonly adapter?: string | undefined
  readonly handle?: JsonObject | undefined
  readonly reason?: string | undefined
  readonly error?: string | undefined
  readonly requestId?: string | undefined
  readonly traceId?: string | undefined
  readonly detail?: JsonObject | undefined
}

/** An event as it is read back. */
export interface RecordedEvent extends AuditEvent {
  readonly id: number
  /** Its place in the order of `GET /v1/audit`; null in the first moments after it was committed. */
  readonly seq: number | null
  readonly occurredAt: string
}
