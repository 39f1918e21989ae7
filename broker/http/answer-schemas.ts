import { z } from 'zod'
import { EVENT_TYPES } from '../audit/event.ts'
import { GRANT_STATES } from '../grants/grant.ts'

const time = z.iso.datetime().meta({ description: 'RFC 3339, UTC' })
const json = z.record(z.string(), z.unknown())
const owner = z.object({ id: z.string(), issuer: z.string(), subject: z.string() })

export const taskAnswer = z
  .object({
    id: z.uuid(),
    key: z.string().nullable(),
    purpose: z.string(),
    state: z.enum(['open', 'ending', 'ended']),
    workload: owner,
    onBehalfOf: owner.nullable(),
    actors: z.array(z.object({ issuer: z.string().optional(), subject: z.string() })),
    labels: z.record(z.string(), z.string()),
    parentTaskId: z.uuid().nullable(),
    createdAt: time,
    expiresAt: time,
    endedAt: time.nullable(),
    endReason: z.string().nullable(),
  })
  .meta({ id: 'Task' })

export const grantAnswer = z
  .object({
    id: z.uuid(),
    taskId: z.uuid(),
    resource: z.string(),
    access: z.string(),
    adapter: z.string(),
    state: z.enum(GRANT_STATES),
    requestedAt: time,
    issuedAt: time.nullable(),
    expiresAt: time,
    revokedAt: time.nullable(),
    revokeReason: z.string().nullable(),
    handle: json.meta({ description: 'What it takes to withdraw the grant; never a secret' }),
    deferredUntil: time
      .nullable()
      .meta({ description: 'Withdrawn, but its access cannot be ended before it expires' }),
    stuck: z.boolean(),
    lastError: z.string().nullable(),
    residue: z.string().nullable(),
    guarantees: z.object({ nativeExpiry: z.string(), revocation: z.string() }).nullable(),
  })
  .meta({ id: 'Grant' })

export const credentialAnswer = z
  .looseObject({ kind: z.string() })
  .meta({ id: 'Credential', description: 'The secret, shown this once; its fields depend on kind' })

export const mintedAnswer = z.object({ grant: grantAnswer, credential: credentialAnswer })
export const openedAnswer = z.object({ task: taskAnswer, grants: z.array(mintedAnswer) })
export const taskWithGrantsAnswer = z.object({ task: taskAnswer, grants: z.array(grantAnswer) })
export const endingAnswer = z.object({
  task: taskAnswer,
  state: z.enum(['ending', 'ended']),
  outstanding: z.array(
    z.object({
      grantId: z.uuid(),
      resource: z.string(),
      state: z.string(),
      deferredUntil: time.nullable(),
      lastError: z.string().nullable(),
    }),
  ),
})

export const eventAnswer = z
  .object({
    id: z.int(),
    seq: z
      .int()
      .nullable()
      .meta({ description: 'Place in the order of GET /v1/audit; null for the first moments' }),
    occurredAt: time,
    type: z.enum(EVENT_TYPES),
    performedBy: json,
    action: z.string().nullable(),
    decision: z.enum(['allow', 'deny']).nullable(),
    policies: z.array(z.string()).nullable(),
    policySet: z.string().nullable(),
    workload: owner.nullable(),
    onBehalfOf: owner.nullable(),
    actors: z.array(json).nullable(),
    taskId: z.uuid().nullable(),
    purpose: z.string().nullable(),
    labels: z.record(z.string(), z.string()).nullable(),
    grantId: z.uuid().nullable(),
    resource: z.string().nullable(),
    access: z.string().nullable(),
    adapter: z.string().nullable(),
    handle: json.nullable(),
    reason: z.string().nullable(),
    error: z.string().nullable(),
    requestId: z.string().nullable(),
    traceId: z.string().nullable(),
    detail: json.nullable(),
  })
  .meta({ id: 'Event' })

export const resourceAnswer = z
  .object({
    resource: z.string(),
    adapter: z.string(),
    guarantees: z.object({ nativeExpiry: z.string(), revocation: z.string() }),
    access: z.array(z.object({ access: z.string(), maxTtlSeconds: z.int() })),
  })
  .meta({ id: 'Resource' })

export const revocationAnswer = z.object({ tasks: z.int(), grants: z.int(), outstanding: z.int() })

export const problemAnswer = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    requestId: z.string(),
  })
  .meta({ id: 'Problem' })

/** One page: `next` is the `after` of the next one, null at the end. */
export function pageOf<Item extends z.ZodType>(item: Item, cursor: z.ZodType = z.uuid()) {
  return z.object({ items: z.array(item), next: cursor.nullable() })
}
