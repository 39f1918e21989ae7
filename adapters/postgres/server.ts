import { readFileSync } from 'node:fs'
import { AdapterError } from '../../broker/adapter.ts'
import { Secret } from '../../broker/secret.ts'
import type { Settings } from './settings.ts'

/** Where the server is, for us and for agents. */
export interface Server {
  /** `host:port`, as handles name it. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Secret<string>
  /** The administrator's own database. */
  readonly adminDatabase: string
  readonly agentHost: string
  readonly agentPort: number
  readonly agentDatabase: string
  /** Undefined: plaintext. Otherwise verified, always. */
  readonly tls: { readonly ca: string | undefined } | undefined
}

/** @throws {AdapterError} with what is wrong, if the URL and the settings contradict each other */
export function serverOf(settings: Settings): Server {
  const { connect, database, aliases } = settings
  const url = new URL(settings.admin.reveal())
  // URLs of this scheme keep their case.
  const hostname = url.hostname.toLowerCase()
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const port = Number(url.port || 5432)
  const adminDatabase = decodeURIComponent(url.pathname.slice(1)) || decodeURIComponent(url.username)
  return {
    name: `${hostname}:${port}`,
    aliases: aliases.map((alias) => alias.toLowerCase()),
    host,
    port,
    user: decodeURIComponent(url.username),
    password: new Secret(decodeURIComponent(url.password)),
    adminDatabase,
    agentHost: connect?.host ?? host,
    agentPort: connect?.port ?? port,
    agentDatabase: database ?? adminDatabase,
    tls: tlsOf(settings.tls ?? {}, host, url.searchParams.get('sslmode')),
  }
}

function tlsOf(
  { mode, caFile }: NonNullable<Settings['tls']>,
  host: string,
  sslMode: string | null,
): Server['tls'] {
  const plaintext = mode === undefined ? caFile === undefined && isLoopback(host) : mode === 'plaintext'
  if (sslMode !== null && plaintext !== (sslMode === 'disable')) {
    const wanted = plaintext ? 'without TLS' : 'with TLS'
    throw wrong(
      `the admin URL says sslmode=${sslMode}, but this resource is reached ${wanted}: leave it out, or set tls.mode`,
    )
  }
  if (!plaintext) return { ca: caFile === undefined ? undefined : readCa(caFile) }
  if (caFile !== undefined) throw wrong('tls.caFile has no use with tls.mode plaintext')
  return undefined
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function readCa(file: string): string {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    throw wrong(`tls.caFile ${file} cannot be read`)
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw wrong(`tls.caFile ${file} holds no PEM certificate`)
  return text
}

function wrong(message: string): AdapterError {
  return new AdapterError('failed', message, { settled: true })
}
