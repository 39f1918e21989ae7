import { z } from 'zod'
import { Secret } from '../../broker/secret.ts'

// Postgres cuts names after 63 bytes, silently.
const MAX_NAME_BYTES = 63

const sqlName = z
  .string()
  .regex(/^\P{Cc}+$/u, 'expected a name')
  .refine((text) => Buffer.byteLength(text) <= MAX_NAME_BYTES, 'expected at most 63 bytes')

const host = z
  .string()
  .max(255)
  .regex(/^[\w.:-]+$/, 'expected a host name or address')

const port = z.int().min(1).max(65_535)

/** Spellings of libpq that ask for less than we do, or for what we do; those that could turn it off are refused. */
const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full']

const adminUrl = z
  .string()
  .superRefine((text, context) => {
    const problem = problemOf(text)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })
  .transform((url) => new Secret(url))

/** Never quotes the URL: it holds the password. */
function problemOf(text: string): string | undefined {
  const expected = 'expected postgresql://user:password@host:port/database'
  if (!URL.canParse(text)) return expected
  const { protocol, hostname, username, password, pathname, searchParams } = new URL(text)
  if (!/^postgres(ql)?:$/.test(protocol) || hostname === '' || username === '') return expected
  try {
    for (const part of [username, password, pathname]) decodeURIComponent(part)
  } catch {
    return 'expected valid percent-encoding'
  }
  for (const [key, value] of searchParams) {
    if (key !== 'sslmode') return `parameter ${JSON.stringify(key)} is not supported in this URL`
    if (!SSL_MODES.includes(value)) return 'this sslmode is not supported: leave it out, and set tls.mode'
  }
  return undefined
}

export const settings = z.strictObject({
  admin: adminUrl,
  connect: z.strictObject({ host: host.optional(), port: port.optional() }).optional(),
  database: sqlName.optional(),
  tls: z
    .strictObject({ mode: z.enum(['verify', 'plaintext']).optional(), caFile: z.string().min(1).optional() })
    .optional(),
  // node-postgres and others accept no more than this when they log in.
  scramIterations: z.int().min(1).max(100_000).default(4096),
  poolSize: z.int().min(1).max(200).default(8),
  withdrawPoolSize: z.int().min(1).max(50).default(2),
  aliases: z
    .array(z.string().regex(/^[\w.:[\]-]+:\d{1,5}$/, 'expected host:port'))
    .max(32)
    .default([]),
})

const roles = z.union([sqlName.transform((role) => [role]), z.array(sqlName).min(1).max(32)], {
  error: 'expected the name of a role, or a list of names',
})

export const access = z.strictObject({
  memberOf: roles,
  owner: sqlName.optional(),
  connectionLimit: z.int().min(1).max(10_000).optional(),
})

export type Settings = z.output<typeof settings>
export type Access = z.output<typeof access>
