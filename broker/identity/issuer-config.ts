import { z } from 'zod'
import { isIdentifier } from './identifier.ts'
import { publicJwks } from './public-jwks.ts'

/** Signatures only: with HMAC, whoever verifies can also sign. */
export const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

const identifier = z
  .string()
  .refine(isIdentifier, 'expected 1 to 256 characters, none of them a control character')
const audience = z
  .union([identifier, z.array(identifier).min(1).max(16)])
  .transform((value): readonly string[] => (typeof value === 'string' ? [value] : value))

/** One entry of `issuers:` in taskgrant.yaml: whose tokens are believed, with which keys, and whom they name. */
export const issuerSettings = z
  .strictObject({
    /** Compared with `iss`, character by character. */
    issuer: identifier,
    audience: audience.optional(),
    jwksUri: z
      .string()
      .refine(isSafeUri, 'expected an https URL (http on loopback only) without user, password or fragment')
      .optional(),
    /** Read again when it changes. */
    jwksFile: z.string().min(1).optional(),
    jwks: publicJwks.optional(),
    algorithms: z
      .array(z.enum(ALGORITHMS))
      .min(1)
      .default([...ALGORITHMS]),
    /** Claim names; `a.b` finds `b` inside `a`. `audience` here takes the place of the issuer's. */
    workload: z
      .strictObject({
        id: identifier,
        groups: identifier.optional(),
        /** Put before every id, so that no other issuer can give the same. */
        idPrefix: identifier.max(64).optional(),
        audience: audience.optional(),
      })
      .optional(),
    user: z.strictObject({ id: identifier, audience: audience.optional() }).optional(),
    maxTokenAgeSeconds: z.int().min(1).max(31_536_000).optional(),
    clockToleranceSeconds: z.int().min(0).max(60).default(30),
  })
  .superRefine((settings, context) => {
    const flaw = (message: string, ...path: string[]): void =>
      context.addIssue({ code: 'custom', message, path })
    const sources = [settings.jwksUri, settings.jwksFile, settings.jwks].filter(
      (source) => source !== undefined,
    )
    if (sources.length !== 1) flaw('expected exactly one of jwksUri, jwksFile and jwks')
    if (settings.workload === undefined && settings.user === undefined)
      flaw('expected workload, user or both')
    const uses = (['workload', 'user'] as const).filter((use) => settings[use] !== undefined)
    for (const use of uses) {
      if (audienceOf(settings, use).length === 0) flaw(`expected an audience here or in ${use}`, 'audience')
    }
    const forUsers = new Set(audienceOf(settings, 'user'))
    if (uses.length === 2 && audienceOf(settings, 'workload').some((one) => forUsers.has(one))) {
      // Otherwise a workload could present the token of a user as its own, and be that user.
      flaw('expected another audience than that of workload tokens', 'user', 'audience')
    }
  })

export type IssuerSettings = z.output<typeof issuerSettings>

export type Use = 'workload' | 'user'

interface WithAudience {
  readonly audience?: readonly string[] | undefined
}

/** To whom a token for this use must be addressed: any one of these. */
export function audienceOf(
  settings: WithAudience & { readonly [U in Use]?: WithAudience | undefined },
  use: Use,
): readonly string[] {
  return settings[use]?.audience ?? settings.audience ?? []
}

function isSafeUri(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password, hash } = new URL(text)
  if (username !== '' || password !== '' || hash !== '') return false
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname))
}
