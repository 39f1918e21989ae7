import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { Secret } from '../../broker/secret.ts'

// Postgres cuts names after 63 bytes.
const role = z
  .string()
  .min(1)
  .max(63)
  .regex(/^\P{Cc}+$/u, 'expected the name of a role')
const host = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[\w.:-]+$/, 'expected a host name or address')
const port = z.int().min(1).max(65_535)

const adminUrl = z
  .string()
  .refine(isPostgresUrl, 'expected postgresql://user:password@host:port/database')
  .transform((url) => new Secret(url))

function isPostgresUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username } = new URL(text)
  return /^postgres(ql)?:$/.test(protocol) && hostname !== '' && username !== ''
}

export const settings = z.object({
  admin: adminUrl,
  connect: z.strictObject({ host: host.optional(), port: port.optional() }).optional(),
  database: z.string().min(1).max(63).optional(),
  tls: z
    .strictObject({ mode: z.enum(['verify', 'plaintext']).optional(), caFile: z.string().min(1).optional() })
    .optional(),
  scramIterations: z.int().min(1).max(1_000_000).default(4096),
  poolSize: z.int().min(1).max(200).default(8),
  withdrawPoolSize: z.int().min(1).max(50).default(2),
  aliases: z
    .array(z.string().regex(/^[\w.:[\]-]+:\d{1,5}$/, 'expected host:port'))
    .max(32)
    .default([]),
})

export const access = z.object({
  memberOf: z.union([role.transform((name) => [name]), z.array(role).min(1).max(32)]),
  owner: role.optional(),
  connectionLimit: z.int().min(1).max(10_000).optional(),
})

export type Settings = z.output<typeof settings>
export type Access = z.output<typeof access>

/** Where the server is, for us and for agents. */
export interface Server {
  /** `host:port`, as handles name it. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Secret<string>
  readonly database: string
  readonly agentHost: string
  readonly agentPort: number
  /** Undefined: plaintext. */
  readonly tls: { readonly ca: string | undefined } | undefined
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]', '::1'])

/** @throws {Error} with what is wrong, if the URL and the settings contradict each other */
export function serverOf({ admin, connect, database, tls, aliases }: Settings): Server {
  const url = new URL(admin.reveal())
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const mode = tls?.mode ?? (LOOPBACK.has(hostname) ? 'plaintext' : 'verify')
  const sslmode = url.searchParams.get('sslmode')
  if (mode === 'verify' && sslmode !== null && sslmode !== 'verify-full') {
    throw new Error(
      `sslmode=${sslmode} in the admin URL: TLS is always verified here; leave it out, or set tls.mode`,
    )
  }
  const portNumber = Number(url.port || 5432)
  return {
    name: `${url.hostname}:${portNumber}`,
    aliases,
    host: hostname,
    port: portNumber,
    user: decodeURIComponent(url.username),
    password: new Secret(decodeURIComponent(url.password)),
    database: database ?? (decodeURIComponent(url.pathname.slice(1)) || decodeURIComponent(url.username)),
    agentHost: connect?.host ?? hostname,
    agentPort: connect?.port ?? portNumber,
    tls:
      mode === 'plaintext'
        ? undefined
        : { ca: tls?.caFile === undefined ? undefined : readFileSync(tls.caFile, 'utf8') },
  }
}
