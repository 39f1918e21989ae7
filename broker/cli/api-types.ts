import type { z } from 'zod'
import type * as answers from '../http/answer-schemas.ts'

export type Task = z.output<typeof answers.taskAnswer>
export type TaskWithGrants = z.output<typeof answers.taskWithGrantsAnswer>
export type Grant = z.output<typeof answers.grantAnswer>
export type Ending = z.output<typeof answers.endingAnswer>
export type AuditEvent = z.output<typeof answers.eventAnswer>
export type Resource = z.output<typeof answers.resourceAnswer>
export type Revocation = z.output<typeof answers.revocationAnswer>

export interface Page<Item> {
  readonly items: readonly Item[]
  /** The `after` of the next page; null at the end. */
  readonly next: string | number | null
}
