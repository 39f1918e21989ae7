import type { JsonObject } from '../json.ts'
import { BrokerError } from '../errors.ts'
import type { Grant, GrantState } from './grant.ts'

/** Every column of a grant, in the order in which they are read. */
export const GRANT_COLUMNS = `id, task_id, resource, access, adapter, state, handle, requested_at, issued_at, expires_at,
  attempts, last_error, stuck, revoke_reason, revoked_at, removed_at, residue, deferred_until`

/** The same with a table's name in front, where several tables are joined. */
export function grantColumnsOf(table: string): string {
  return GRANT_COLUMNS.split(',')
    .map((column) => `${table}.${column.trim()}`)
    .join(', ')
}

export interface GrantRow {
  id: string
  task_id: string
  resource: string
  access: string
  adapter: string
  state: GrantState
  handle: JsonObject
  requested_at: Date
  issued_at: Date | null
  expires_at: Date
  attempts: number
  last_error: string | null
  stuck: boolean
  revoke_reason: string | null
  revoked_at: Date | null
  removed_at: Date | null
  residue: string | null
  deferred_until: Date | null
}

/** The store's checks rule out the combinations that have no place in the union. */
export function toGrant(row: GrantRow): Grant {
  const facts = {
    id: row.id,
    taskId: row.task_id,
    resource: row.resource,
    access: row.access,
    adapter: row.adapter,
    handle: row.handle,
    requestedAt: row.requested_at,
    expiresAt: row.expires_at,
    attempts: row.attempts,
    lastError: row.last_error,
    stuck: row.stuck,
  }
  const { state, issued_at: issuedAt, revoke_reason: revokeReason, revoked_at: revokedAt } = row
  if (state === 'pending') return { ...facts, state }
  if (state === 'active' && issuedAt !== null) return { ...facts, state, issuedAt }
  if (state === 'revoking' && revokeReason !== null)
    return { ...facts, state, issuedAt, revokeReason, deferredUntil: row.deferred_until }
  if (state === 'revoked' && revokeReason !== null && revokedAt !== null) {
    return {
      ...facts,
      state,
      issuedAt,
      revokeReason,
      revokedAt,
      removedAt: row.removed_at,
      residue: row.residue,
    }
  }
  throw new BrokerError('internal', `grant ${row.id} is in no known state`)
}
