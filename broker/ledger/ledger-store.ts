import type { LedgerEntry, SerialStatus, WithdrawnList } from '../adapter.ts'
import type { Session } from '../db/database.ts'
import { run, type Statement } from '../db/query.ts'

const WITHDRAW: Statement = {
  name: 'ledger.withdraw',
  // The time is read when the authority is locked: lists are taken under the same lock.
  text: `with entry as (
      select serial, expires_at from jsonb_to_recordset($2::jsonb) as e (serial text, expires_at timestamptz)
      where expires_at > now()
    ), authority as (
      insert into taskgrant.authorities as a (id, changes) select $1, 1 where exists (select from entry)
      on conflict (id) do update set changes = a.changes + 1
      returning id, clock_timestamp() as moment
    )
    insert into taskgrant.withdrawn_serials (authority, serial, withdrawn_at, expires_at)
    select authority.id, entry.serial, authority.moment, entry.expires_at from authority cross join entry
    on conflict (authority, serial) do nothing`,
}

export async function withdrawSerials(
  session: Session,
  authority: string,
  entries: readonly LedgerEntry[],
): Promise<void> {
  const rows = entries.map(({ serial, expiresAt }) => ({ serial, expires_at: expiresAt }))
  await run(session, WITHDRAW, [authority, JSON.stringify(rows)])
}

const CHANGES: Statement = {
  name: 'ledger.changes',
  text: 'select changes::double precision as changes from taskgrant.authorities where id = $1',
}

export async function countChanges(session: Session, authority: string): Promise<number> {
  const [row] = await run<{ changes: number }>(session, CHANGES, [authority])
  return row?.changes ?? 0
}

const TAKE_NUMBER: Statement = {
  name: 'ledger.take-number',
  text: `insert into taskgrant.authorities as a (id, lists) values ($1, 1)
    on conflict (id) do update set lists = a.lists + 1
    returning lists::double precision as number, clock_timestamp() as moment`,
}

const ENTRIES: Statement = {
  name: 'ledger.entries',
  text: `select serial, withdrawn_at, expires_at from taskgrant.withdrawn_serials
    where authority = $1 and expires_at > $2 order by expires_at, serial`,
}

/**
 * Takes a list, in a transaction: the number locks the authority, so that the entries, read after that, are all that
 * was withdrawn before a list with a larger number can be taken.
 */
export async function takeList(
  session: Session,
  authority: string,
  expiringAfter: Date,
): Promise<WithdrawnList> {
  const [taken] = await run<{ number: number; moment: Date }>(session, TAKE_NUMBER, [authority])
  if (taken === undefined) throw new Error('taking a list answered no number')
  const rows = await run<{ serial: string; withdrawn_at: Date; expires_at: Date }>(session, ENTRIES, [
    authority,
    expiringAfter,
  ])
  return {
    number: taken.number,
    takenAt: taken.moment,
    entries: rows.map((row) => ({
      serial: row.serial,
      withdrawnAt: row.withdrawn_at,
      expiresAt: row.expires_at,
    })),
  }
}

const STATUS: Statement = {
  name: 'ledger.status',
  text: `select s.serial, w.withdrawn_at, exists (
      select from taskgrant.grants as g
      where g.handle ? 'serial' and g.handle ->> 'authority' = $1 and g.handle ->> 'serial' = s.serial
    ) as issued
    from unnest($2::text[]) as s (serial)
      left join taskgrant.withdrawn_serials as w on w.authority = $1 and w.serial = s.serial`,
}

export async function findStatus(
  session: Session,
  authority: string,
  serials: readonly string[],
): Promise<ReadonlyMap<string, SerialStatus>> {
  const rows = await run<{ serial: string; withdrawn_at: Date | null; issued: boolean }>(session, STATUS, [
    authority,
    serials,
  ])
  return new Map(rows.map((row) => [row.serial, statusOf(row.withdrawn_at, row.issued)]))
}

function statusOf(withdrawnAt: Date | null, issued: boolean): SerialStatus {
  if (withdrawnAt !== null) return { status: 'withdrawn', withdrawnAt }
  return { status: issued ? 'good' : 'unknown' }
}

const FORGET: Statement = {
  text: `with old as (
      select serial from taskgrant.withdrawn_serials where authority = $1 and expires_at < $2
      order by expires_at limit $3
    )
    delete from taskgrant.withdrawn_serials
    where authority = $1 and serial = any(array(select serial from old)) returning 1`,
}

/** Forgets up to `limit` serials that expired before this moment. Answers how many. */
export async function forgetSerials(
  session: Session,
  authority: string,
  expiredBefore: Date,
  limit: number,
): Promise<number> {
  return (await run(session, FORGET, [authority, expiredBefore, limit])).length
}
