import { z } from 'zod'
import { EVENT_TYPES } from '../audit/event.ts'
import { GRANT_STATES } from '../grants/grant.ts'

const MAX_SECONDS = 31_536_000
// The controls (Unicode category Cc) include NUL, which Postgres cannot store, and what could forge a line of a table.
const PLAIN = /^\P{Cc}*$/u

/** Text that can be stored, printed and compared: no control characters, no lone surrogates. */
export function text(max: number): z.ZodString {
  return z
    .string()
    .min(1)
    .max(max)
    .regex(PLAIN, 'expected no control characters')
    .refine((value) => value.isWellFormed(), 'expected well-formed Unicode')
}

export const seconds = z.int().min(1).max(MAX_SECONDS)
export const uuid = z.uuid()
export const limit = z.coerce.number().int().min(1).max(1000).default(100)
const flag = z.enum(['true', 'false']).transform((value) => value === 'true')
export const waitSeconds = z.coerce.number().int().min(0).max(60).default(10)
export const reason = text(500)
const time = z.iso.datetime({ offset: true }).transform((value) => new Date(value))

const labels = z
  .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/), text(256))
  .refine((all) => Object.keys(all).length <= 32, 'expected at most 32 labels')

export const grantWish = z.strictObject({
  resource: text(63),
  access: text(63),
  ttlSeconds: seconds.optional(),
  params: z.record(z.string().max(64), z.json()).default({}),
})

export const openTaskBody = z.strictObject({
  purpose: text(500),
  key: text(200).optional(),
  ttlSeconds: seconds.optional(),
  parentTaskId: z.null().optional(),
  labels: labels.default({}),
  onBehalfOf: z.string().min(1).max(16_384).optional(),
  grants: z.array(grantWish).max(100).default([]),
})

export const endTaskBody = z.strictObject({}).optional()
export const revokeBody = z.strictObject({ reason })
export const revokeGrantBody = z.strictObject({ reason: reason.optional() }).optional()
export const renewBody = z.strictObject({ ttlSeconds: seconds.optional() }).optional()
export const revocationBody = z.union([
  z.strictObject({ workload: text(256), reason }),
  z.strictObject({ onBehalfOf: text(256), reason }),
  z.strictObject({ resource: text(63), reason }),
  z.strictObject({ all: z.literal(true), reason }),
])

export const idParams = z.strictObject({ id: uuid })
export const waitQuery = z.strictObject({ waitSeconds })
export const noQuery = z.strictObject({})
export const taskQuery = z.strictObject({
  limit,
  after: uuid.optional(),
  state: z.enum(['open', 'ending', 'ended']).optional(),
  workload: text(256).optional(),
  onBehalfOf: text(256).optional(),
  key: text(200).optional(),
})
export const grantQuery = z.strictObject({
  limit,
  after: uuid.optional(),
  state: z.enum(GRANT_STATES).optional(),
  resource: text(63).optional(),
  workload: text(256).optional(),
  stuck: flag.optional(),
  residue: flag.optional(),
})
const sequence = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
export const trailQuery = z.strictObject({ limit, after: sequence.default(0) })
export const auditQuery = z.strictObject({
  limit,
  after: sequence.default(0),
  task: uuid.optional(),
  grant: uuid.optional(),
  workload: text(256).optional(),
  onBehalfOf: text(256).optional(),
  resource: text(63).optional(),
  type: z.enum(EVENT_TYPES).optional(),
  since: time.optional(),
  until: time.optional(),
})
