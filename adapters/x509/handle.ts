import { z } from 'zod'
import { AdapterError } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'

const schema = z.strictObject({
  /** The key that signs it, by {@link Ca.id}. */
  authority: z.string().regex(/^[0-9a-f]{32}$/),
  /** Its common name: the id of the grant. */
  subject: z.string(),
  /** Missing until it is signed: nothing was handed out then. Whole bytes, as short as can be. */
  serial: z
    .string()
    .regex(/^(?!00)([0-9a-f]{2}){1,20}$/)
    .optional(),
  spiffeId: z.string().optional(),
  expiresAt: z.iso.datetime().optional(),
})

/** What it takes to withdraw a certificate, also after its authority is gone from the configuration. */
export type Handle = z.output<typeof schema>

/** @throws {AdapterError} */
export function parseHandle(handle: JsonObject): Handle {
  const parsed = schema.safeParse(handle)
  if (parsed.success) return parsed.data
  throw new AdapterError('failed', 'the handle is not one of an x509 resource', { settled: true })
}
