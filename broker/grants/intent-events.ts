import type { AuditEvent } from '../audit/event.ts'
import { decided, grantEvent, type Origin, type TaskFacts } from '../audit/event-of.ts'
import type { PlannedGrant } from './mint-grants.ts'

/** What is recorded together with new grants: that they were asked for and, of those issued already, that they were. */
export function intentEvents(
  origin: Origin,
  task: TaskFacts,
  planned: readonly PlannedGrant[],
): AuditEvent[] {
  return planned.flatMap(({ row, decision, issued }) => {
    const requested = grantEvent('grant.requested', origin, task, row, {
      ...decided(decision),
      detail: { ttlSeconds: row.ttlSeconds },
    })
    if (issued === undefined) return [requested]
    return [requested, grantEvent('grant.issued', origin, task, row, decided(decision))]
  })
}
