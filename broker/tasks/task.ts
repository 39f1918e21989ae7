import type { Actor, User } from '../identity/workload.ts'

export type TaskState = 'open' | 'ending' | 'ended'

/** Why a task stopped being open. */
export type EndReason = 'ended' | 'revoked' | 'expired' | 'open_failed' | 'caller_gone'

/** The workload that opened a task. */
export interface Owner {
  readonly id: string
  readonly issuer: string
  readonly subject: string
}

/** One piece of work that an agent does: the unit of authority, of revocation and of audit. */
export interface Task {
  readonly id: string
  /** The caller's own name for it; unique among its open tasks. */
  readonly key: string | null
  readonly purpose: string
  readonly state: TaskState
  readonly owner: Owner
  readonly onBehalfOf: User | null
  readonly actors: readonly Actor[]
  readonly labels: Readonly<Record<string, string>>
  readonly parentTaskId: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly endedAt: Date | null
  readonly endReason: string | null
}
