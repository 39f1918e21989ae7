import type { Session } from '../db/database.ts'
import { run, type Statement } from '../db/query.ts'
import type { Owner } from './task.ts'

/** The two calls that mint. A task id keeps the keys of one task apart from those of another. */
export type Operation = 'openTask' | `addGrant:${string}`

export interface Attempt {
  readonly owner: Owner
  readonly operation: Operation
  readonly key: string
  /** Tells a retry from another request under the same key. */
  readonly requestHash: string
  readonly taskId: string
  readonly attemptId: string
  readonly grantIds: readonly string[]
}

export interface EarlierAttempt {
  readonly requestHash: string
  readonly attemptId: string
  readonly taskId: string
  readonly grantIds: readonly string[]
}

const REMEMBER: Statement = {
  text: `insert into taskgrant.idempotency_keys
      (workload_issuer, workload_id, operation, key, request_hash, task_id, attempt_id, grant_ids)
    values ($1, $2, $3, $4, $5, $6, $7, $8)`,
}

export async function rememberAttempt(session: Session, attempt: Attempt): Promise<void> {
  const { owner, operation, key, requestHash, taskId, attemptId, grantIds } = attempt
  await run(session, REMEMBER, [
    owner.issuer,
    owner.id,
    operation,
    key,
    requestHash,
    taskId,
    attemptId,
    grantIds,
  ])
}

const LOCK_KEY: Statement = {
  text: `select pg_advisory_xact_lock(hashtextextended(jsonb_build_array($1::text, $2::text, $3::text, $4::text)::text, 0))`,
}

const FIND: Statement = {
  text: `select request_hash, task_id, attempt_id, grant_ids from taskgrant.idempotency_keys
    where workload_issuer = $1 and workload_id = $2 and operation = $3 and key = $4 for update`,
}

/** What was made under this key before. Until the transaction ends, no other request under it goes on. */
export async function lockEarlierAttempt(
  session: Session,
  owner: Owner,
  operation: Operation,
  key: string,
): Promise<EarlierAttempt | undefined> {
  const values = [owner.issuer, owner.id, operation, key]
  await run(session, LOCK_KEY, values)
  const [row] = await run<{ request_hash: string; task_id: string; attempt_id: string; grant_ids: string[] }>(
    session,
    FIND,
    values,
  )
  if (row === undefined) return undefined
  return {
    requestHash: row.request_hash,
    taskId: row.task_id,
    attemptId: row.attempt_id,
    grantIds: row.grant_ids,
  }
}

const REPLACE: Statement = {
  text: `update taskgrant.idempotency_keys set attempt_id = $5, grant_ids = $6, created_at = now()
    where workload_issuer = $1 and workload_id = $2 and operation = $3 and key = $4`,
}

/** Notes that a retry takes the place of the earlier attempts. */
export async function replaceAttempt(
  session: Session,
  attempt: Omit<Attempt, 'requestHash' | 'taskId'>,
): Promise<void> {
  const { owner, operation, key, attemptId, grantIds } = attempt
  await run(session, REPLACE, [owner.issuer, owner.id, operation, key, attemptId, grantIds])
}

const FORGET: Statement = {
  text: `delete from taskgrant.idempotency_keys
    where task_id = $1 and operation = 'openTask' and attempt_id = $2 returning task_id`,
}

/**
 * Forgets a failed attempt to open a task. Answers false if a retry has taken its place meanwhile: then the task is
 * the retry's, and must live on.
 */
export async function forgetOpening(session: Session, taskId: string, attemptId: string): Promise<boolean> {
  return (await run(session, FORGET, [taskId, attemptId])).length > 0
}

const PRUNE: Statement = {
  text: `delete from taskgrant.idempotency_keys where ctid in (
      select ctid from taskgrant.idempotency_keys
      where created_at < now() - make_interval(secs => $1) limit $2 for update skip locked)`,
}

export async function pruneAttempts(
  session: Session,
  olderThanSeconds: number,
  limit: number,
): Promise<void> {
  await run(session, PRUNE, [olderThanSeconds, limit])
}
