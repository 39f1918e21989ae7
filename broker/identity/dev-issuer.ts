import { randomUUID } from 'node:crypto'
import { SignJWT, type JWTPayload } from 'jose'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { loadOrCreateDevKey } from './dev-key.ts'
import { isIdentifier } from './identifier.ts'
import { issuerSettings, type IssuerSettings, type Use } from './issuer-config.ts'
import type { Actor } from './workload.ts'

const ISSUER = 'urn:taskgrant:dev'
// Different, so that neither kind of token passes for the other.
const AUDIENCE: Readonly<Record<Use, string>> = { workload: 'taskgrant', user: 'taskgrant-user' }

export interface DevToken {
  readonly subject: string
  readonly use: Use
  readonly ttlSeconds: number
  readonly groups?: readonly string[]
  /** The current actor first. */
  readonly actors?: readonly Actor[]
}

/** Issues tokens to whoever can read its key: for `taskgrant dev`, benchmarks and tests. */
export interface DevIssuer {
  readonly issuer: typeof ISSUER
  readonly jwksFile: string
  /** What a broker needs to believe the tokens. */
  settings(): IssuerSettings
  /** @throws {BrokerError} `invalid_request` for what no broker would believe */
  sign(token: DevToken): Promise<Secret<string>>
}

/** @throws {StartupError} when the key file is not usable, or others can read it */
export async function loadOrCreateDevIssuer(home: string): Promise<DevIssuer> {
  const { kid, privateKey, jwksFile } = await loadOrCreateDevKey(home)
  return {
    issuer: ISSUER,
    jwksFile,
    settings: () =>
      issuerSettings.parse({
        issuer: ISSUER,
        jwksFile,
        algorithms: ['ES256'],
        workload: { id: 'sub', groups: 'groups', audience: AUDIENCE.workload },
        user: { id: 'sub', audience: AUDIENCE.user },
      }),
    async sign({ subject, use, ttlSeconds, groups, actors = [] }) {
      requireUsable(subject, ttlSeconds, groups)
      const issuedAt = Math.floor(Date.now() / 1000)
      const act = nested(actors)
      const claims: JWTPayload = {
        ...(groups === undefined ? {} : { groups }),
        ...(act === undefined ? {} : { act }),
      }
      return new Secret(
        await new SignJWT(claims)
          .setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT' })
          .setIssuer(ISSUER)
          .setSubject(subject)
          .setAudience(AUDIENCE[use])
          .setIssuedAt(issuedAt)
          .setExpirationTime(issuedAt + ttlSeconds)
          .setJti(randomUUID())
          .sign(privateKey),
      )
    },
  }
}

function requireUsable(subject: string, ttlSeconds: number, groups: readonly string[] = []): void {
  const refuse = (path: string, message: string): never => {
    throw new BrokerError('invalid_request', `${path}: ${message}`, { errors: [{ path, message }] })
  }
  const expected = 'expected 1 to 256 characters, none of them a control character'
  if (!isIdentifier(subject)) refuse('subject', expected)
  if (!groups.every(isIdentifier)) refuse('groups', expected)
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1)
    refuse('ttlSeconds', 'expected whole seconds, at least 1')
}

/** RFC 8693 section 4.1: the outermost `act` is the current actor, those before it are inside. */
function nested(actors: readonly Actor[]): Record<string, unknown> | undefined {
  return actors.reduceRight<Record<string, unknown> | undefined>(
    (act, { subject, issuer }) => ({
      sub: subject,
      ...(issuer === undefined ? {} : { iss: issuer }),
      ...(act === undefined ? {} : { act }),
    }),
    undefined,
  )
}
