import { z } from 'zod'
import type { JsonObject } from '../../broker/json.ts'

const schema = z.object({
  role: z.string(),
  /** `host:port` of the server that the role is on. */
  server: z.string(),
  database: z.string(),
  memberOf: z.array(z.string()),
  /** Who inherits what the role created. */
  owner: z.string(),
})

/** What it takes to withdraw a database user, also after its access is gone from the configuration. */
export type Handle = z.output<typeof schema>

export function parseHandle(handle: JsonObject): Handle {
  return schema.parse(handle)
}

/** The role of a grant: from ids only, 44 characters of `[0-9a-z_]`. */
export function roleName(storeId: string, grantId: string): string {
  return `tg_${storeId}_${grantId.replaceAll('-', '')}`
}

/** The grant that a role was made for; undefined if the name is not one of ours. */
export function grantIdOf(storeId: string, role: string): string | undefined {
  const prefix = `tg_${storeId}_`
  const hex = role.startsWith(prefix) ? role.slice(prefix.length) : ''
  const parts = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/.exec(hex)
  return parts?.slice(1).join('-')
}
