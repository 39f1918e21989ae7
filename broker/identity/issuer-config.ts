import { z } from 'zod'

/** Signatures that need a private key. `none` and HMAC have no place here. https://www.iana.org/assignments/jose */
export const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
] as const

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

const keysUri = z.url().refine((text) => {
  const { protocol, hostname } = new URL(text)
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname))
}, 'expected https, or http on this machine only')

const audience = z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(16)])
const claim = z.string().regex(/^[\w:/.-]{1,200}$/, 'expected the name of a claim')

/** One entry of `issuers`: whose tokens count, for workloads, for users, or for both. */
export const issuerSettings = z
  .strictObject({
    issuer: z.string().min(1).max(500),
    audience,
    jwksUri: keysUri.optional(),
    jwksFile: z.string().min(1).optional(),
    jwks: z.strictObject({ keys: z.array(z.looseObject({ kty: z.string() })).min(1) }).optional(),
    algorithms: z
      .array(z.enum(ALGORITHMS))
      .min(1)
      .default([...ALGORITHMS]),
    workload: z
      .strictObject({
        id: claim,
        groups: claim.optional(),
        idPrefix: z.string().max(100).optional(),
        audience: audience.optional(),
      })
      .optional(),
    user: z.strictObject({ id: claim, audience: audience.optional() }).optional(),
    maxTokenAgeSeconds: z.int().min(1).max(31_536_000).optional(),
    clockToleranceSeconds: z.int().min(0).max(60).default(30),
  })
  .refine(
    ({ jwksUri, jwksFile, jwks }) =>
      [jwksUri, jwksFile, jwks].filter((keys) => keys !== undefined).length === 1,
    'expected exactly one of jwksUri, jwksFile and jwks',
  )
  .refine(
    ({ workload, user }) => workload !== undefined || user !== undefined,
    'expected workload, user or both',
  )

export type IssuerSettings = z.output<typeof issuerSettings>
