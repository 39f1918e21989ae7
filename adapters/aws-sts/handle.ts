import { z } from 'zod'
import { AdapterError, type GrantPlan } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { ROLE_ARN } from './role-arn.ts'

/** By how much the clock of the store may be ahead of that of the broker that planned a grant. */
const CLOCK_SLACK_MS = 5 * 60_000
const UUID_V7 = /^([0-9a-f]{8})-?([0-9a-f]{4})-?7[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i

const schema = z.strictObject({
  roleArn: z.string().max(2048).regex(ROLE_ARN),
  // Whatever else comes back from the store, no session but one of ours is ever named in a policy.
  sessionName: z.string().regex(/^tg-[0-9a-f]{32}$/),
  storeId: z.string().regex(/^[0-9a-z]{8}$/),
  /** No session of this grant opens anything from then on, whatever became of its issue. */
  endsBefore: z.iso.datetime(),
  /** By AWS's clock. Missing with `expiresAt` until AWS's answer has come in. */
  issuedAt: z.iso.datetime().optional(),
  /** The end of the session. */
  expiresAt: z.iso.datetime().optional(),
})

/** What it takes to withdraw a session, also after its access is gone from the configuration. */
export type Handle = z.output<typeof schema>
export type PlannedHandle = Omit<Handle, 'issuedAt' | 'expiresAt'>

/** @throws {AdapterError} if the id of the grant does not tell when it was planned */
export function planHandle(roleArn: string, { grantId, storeId, ttlSeconds }: GrantPlan): PlannedHandle {
  const [, high, low] = UUID_V7.exec(grantId) ?? []
  if (high === undefined || low === undefined) {
    throw new AdapterError('failed', 'the id of the grant is no UUID of version 7', { settled: true })
  }
  const plannedMs = parseInt(high + low, 16)
  return {
    roleArn,
    sessionName: `tg-${grantId.replaceAll('-', '').toLowerCase()}`,
    storeId,
    endsBefore: new Date(plannedMs + ttlSeconds * 1000 + CLOCK_SLACK_MS).toISOString(),
  }
}

/** @throws {AdapterError} */
export function parseHandle(handle: JsonObject): Handle {
  const parsed = schema.safeParse(handle)
  if (parsed.success) return parsed.data
  throw new AdapterError('failed', 'the handle is not one of an aws-sts resource', { settled: true })
}

/** From when on the session opens nothing, in milliseconds since 1970. */
export function endOf({ expiresAt, endsBefore }: Handle): number {
  return Date.parse(expiresAt ?? endsBefore)
}
