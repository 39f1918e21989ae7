import type { JsonObject } from '../json.ts'
import type { Task } from '../tasks/task.ts'

export const GRANT_STATES = ['pending', 'active', 'revoking', 'revoked'] as const
export type GrantState = (typeof GRANT_STATES)[number]

export type RevokeReason =
  | 'task_ended'
  | 'task_revoked'
  | 'task_expired'
  | 'expired'
  | 'revoked'
  | 'issue_failed'
  | 'task_not_open'
  | 'open_failed'
  | 'superseded'
  | 'caller_gone'
  | 'stale'

interface GrantFacts {
  readonly id: string
  readonly taskId: string
  readonly resource: string
  readonly access: string
  readonly adapter: string
  /** What it takes to withdraw it; holds no secret. */
  readonly handle: JsonObject
  readonly requestedAt: Date
  readonly expiresAt: Date
  readonly attempts: number
  readonly lastError: string | null
  /** Withdrawing failed so often that a person should look; it is still tried. */
  readonly stuck: boolean
}

/** One credential, minted for one task, at one access of one resource. */
export type Grant =
  | (GrantFacts & { readonly state: 'pending' })
  | (GrantFacts & { readonly state: 'active'; readonly issuedAt: Date })
  | (GrantFacts & {
      readonly state: 'revoking'
      readonly issuedAt: Date | null
      readonly revokeReason: string
      /** Its access cannot be ended before, and ends then by the backend's own clock. */
      readonly deferredUntil: Date | null
    })
  | (GrantFacts & {
      readonly state: 'revoked'
      readonly issuedAt: Date | null
      readonly revokeReason: string
      /** When its access had ended. */
      readonly revokedAt: Date
      readonly removedAt: Date | null
      /** What is left on the backend after access has ended, and why. */
      readonly residue: string | null
    })

export interface GrantOfTask {
  readonly grant: Grant
  readonly task: Task
}
