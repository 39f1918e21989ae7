import { v7 as uuidv7 } from 'uuid'
import type { Origin } from '../audit/event-of.ts'
import type { Core } from '../core.ts'
import type { Session } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import { unfinishedGrants } from '../grants/grant-overview-store.ts'
import { startWithdrawal } from '../grants/grant-store.ts'
import type { Grant } from '../grants/grant.ts'
import { withdrawEarlier } from '../grants/supersede.ts'
import { lockEarlierAttempt, rememberAttempt, replaceAttempt, type Operation } from './idempotency-store.ts'
import { requireSameRequest, type Idempotency } from './idempotency.ts'
import type { Owner, Task } from './task.ts'

/** The intent of a minting call, recorded: nothing is created yet. */
export interface RecordedIntent {
  readonly task: Task
  readonly pending: readonly Grant[]
}

export interface MintingCall {
  readonly owner: Owner
  readonly operation: Operation
  readonly idempotency: Idempotency
  /** The grants that this call will record. */
  readonly grantIds: readonly string[]
  readonly origin: Origin
  /** Records the intent when the key is new. */
  readonly first: (session: Session) => Promise<RecordedIntent>
  /** Records it for a repeated call, in the task of the first one. */
  readonly again: (session: Session, taskId: string) => Promise<RecordedIntent>
}

/**
 * Records the intent of a minting call under its idempotency key. If the key was used before, whatever was made under
 * it is withdrawn first, and seen to be: a retry never leaves two live credentials.
 *
 * @returns the intent, with the id of this attempt
 * @throws {BrokerError} `idempotency_key_reused`; `backend_unavailable` if an earlier credential cannot be withdrawn;
 * `task_not_open` if a later retry has taken over; and what `first` and `again` throw
 */
export async function recordOnce(
  core: Core,
  call: MintingCall,
): Promise<RecordedIntent & { readonly attemptId: string }> {
  const { owner, operation, idempotency, grantIds, origin } = call
  const { key, requestHash } = idempotency
  const attemptId = uuidv7()
  const begun = await core.db.transaction(async (session) => {
    const earlier = await lockEarlierAttempt(session, owner, operation, key)
    if (earlier === undefined) {
      const intent = await call.first(session)
      const taskId = intent.task.id
      await rememberAttempt(session, { owner, operation, key, requestHash, taskId, attemptId, grantIds })
      return { intent }
    }
    requireSameRequest(earlier, requestHash)
    const claimed = await startWithdrawal(
      session,
      earlier.grantIds,
      'superseded',
      core.timing.withdrawLeaseSeconds,
    )
    const left = await unfinishedGrants(session, earlier.grantIds)
    await replaceAttempt(session, { owner, operation, key, attemptId, grantIds: [...left, ...grantIds] })
    return { taskId: earlier.taskId, claimed, left }
  })
  if ('intent' in begun) return { ...begun.intent, attemptId }

  await withdrawEarlier(core, begun.claimed, begun.left, origin)
  const intent = await core.db.transaction(async (session) => {
    const current = await lockEarlierAttempt(session, owner, operation, key)
    if (current?.attemptId !== attemptId) {
      throw new BrokerError('task_not_open', 'a later try of this call has taken over')
    }
    return call.again(session, begun.taskId)
  })
  return { ...intent, attemptId }
}
