import { z } from 'zod'
import { AdapterError } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'

const name = z.string().min(1).max(63)

const schema = z.strictObject({
  // Whatever else comes back from the store, no role but one of ours is ever dropped.
  role: z.string().regex(/^tg_[0-9a-z]{8}_[0-9a-f]{32}$/),
  /** `host:port` of the server that the role is on. */
  server: z.string(),
  database: name,
  memberOf: z.array(name),
  /** Who inherits what the role created. */
  owner: name,
})

/** What it takes to withdraw a database user, also after its access is gone from the configuration. */
export type Handle = z.output<typeof schema>

/** @throws {AdapterError} */
export function parseHandle(handle: JsonObject): Handle {
  const parsed = schema.safeParse(handle)
  if (parsed.success) return parsed.data
  throw new AdapterError('failed', 'the handle is not one of a postgres resource', { settled: true })
}

/** The role of a grant: from ids only, 44 characters of `[0-9a-z_]`. */
export function roleName(storeId: string, grantId: string): string {
  return `${rolePrefix(storeId)}${grantId.replaceAll('-', '').toLowerCase()}`
}

export function rolePrefix(storeId: string): string {
  return `tg_${storeId}_`
}

/** The grant that a role was made for; undefined if the name is not one of ours. */
export function grantIdOf(storeId: string, role: string): string | undefined {
  const prefix = rolePrefix(storeId)
  const hex = role.startsWith(prefix) ? role.slice(prefix.length) : ''
  const parts = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/.exec(hex)
  return parts?.slice(1).join('-')
}
