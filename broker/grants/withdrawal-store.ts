import type { Session } from '../db/database.ts'
import { run, type Statement } from '../db/query.ts'
import type { Grant } from './grant.ts'
import { grantColumnsOf, toGrant, type GrantRow } from './grant-row.ts'

/** What one attempt to withdraw a grant came to. */
export interface WithdrawalOutcome {
  readonly grantId: string
  readonly accessEnded: boolean
  /** No issue of this grant is on its way any more: whoever says so has seen it return. */
  readonly settled: boolean
  readonly residue: string | undefined
  readonly error: string | undefined
  /** Access cannot be ended before this moment. Whether it has come, the store decides; until then it is due again. */
  readonly deferredUntil: Date | undefined
  /** When to try again, if there is anything left to do. */
  readonly retrySeconds: number
}

/** A grant after an attempt was recorded, and what that changed. */
export interface RecordedWithdrawal {
  readonly grant: Grant
  readonly accessEndedNow: boolean
  readonly removedNow: boolean
  readonly stuckNow: boolean
  readonly deferredNow: boolean
  /** From when it was to end until its access had ended. */
  readonly secondsUntilAccessEnded: number | null
}

const RECORD: Statement = {
  name: 'grants.record-withdrawals',
  text: `with outcome as (
      select * from jsonb_to_recordset($1::jsonb)
        as o (id uuid, access_ended boolean, settled boolean, residue text, error text, deferred_until timestamptz,
          retry_seconds double precision)
    ), before as materialized (
      select g.id, g.state, g.stuck, g.removed_at, g.deferred_until as deferred_before, o.deferred_until,
        (o.access_ended or coalesce(o.deferred_until <= now(), false))
          and (o.settled or coalesce(g.settles_at <= now(), true)) as final,
        o.residue, o.error, o.retry_seconds
      from taskgrant.grants as g join outcome as o on o.id = g.id
      where g.id = any($3::uuid[]) and g.state in ('revoking', 'revoked') and g.due_at is not null
      order by g.id for update of g
    )
    update taskgrant.grants as g set
      state = case when b.final then 'revoked' else g.state end,
      revoked_at = case when b.final then coalesce(g.revoked_at, now()) else g.revoked_at end,
      removed_at = case when b.final and b.residue is null then now() end,
      residue = case when b.final then b.residue else g.residue end,
      settles_at = case when b.final then null else g.settles_at end,
      attempts = g.attempts + 1,
      stuck = not b.final and g.state = 'revoking' and b.error is not null and g.attempts + 1 >= $2,
      last_error = b.error,
      deferred_until = case when b.final then null else b.deferred_until end,
      due_at = case
        when b.final and b.residue is null then null
        when b.deferred_until is not null then greatest(b.deferred_until, now() + interval '1 second')
        when b.error is null and b.residue is null then g.settles_at
        else now() + make_interval(secs => b.retry_seconds) end
    from before as b where g.id = any($3::uuid[]) and g.id = b.id
    returning ${grantColumnsOf('g')}, b.state = 'revoking' and g.state = 'revoked' as access_ended_now,
      b.removed_at is null and g.removed_at is not null as removed_now, g.stuck and not b.stuck as stuck_now,
      g.deferred_until is not null and b.deferred_before is null as deferred_now,
      extract(epoch from g.revoked_at - g.revoking_at)::double precision as seconds`,
}

interface RecordedRow extends GrantRow {
  access_ended_now: boolean
  removed_now: boolean
  stuck_now: boolean
  deferred_now: boolean
  seconds: number | null
}

/**
 * Records what attempts to withdraw came to. Access that ended while an issue could still take hold is not final:
 * the grant stays `revoking` and is due again when that time is over.
 */
export async function recordWithdrawals(
  session: Session,
  outcomes: readonly WithdrawalOutcome[],
  stuckAfterAttempts: number,
): Promise<RecordedWithdrawal[]> {
  const values = outcomes.map(
    ({ grantId, accessEnded, settled, residue, error, deferredUntil, retrySeconds }) => ({
      id: grantId,
      access_ended: accessEnded,
      settled,
      residue,
      error,
      deferred_until: deferredUntil,
      retry_seconds: retrySeconds,
    }),
  )
  const ids = outcomes.map(({ grantId }) => grantId)
  const rows = await run<RecordedRow>(session, RECORD, [JSON.stringify(values), stuckAfterAttempts, ids])
  return rows.map((row) => ({
    grant: toGrant(row),
    accessEndedNow: row.access_ended_now,
    removedNow: row.removed_now,
    stuckNow: row.stuck_now,
    deferredNow: row.deferred_now,
    secondsUntilAccessEnded: row.seconds,
  }))
}
