import { link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, SignJWT, type JWK } from 'jose'
import { StartupError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { issuerSettings, type IssuerSettings } from './issuer-config.ts'

export interface DevToken {
  readonly subject: string
  readonly use: 'workload' | 'user'
  readonly ttlSeconds: number
  readonly groups?: readonly string[]
}

/** The issuer of `taskgrant dev`: whoever can read its key file is whoever they say. */
export interface DevIssuer {
  readonly issuer: string
  readonly jwksFile: string
  settings(): IssuerSettings
  sign(token: DevToken): Promise<Secret<string>>
}

const ISSUER = 'urn:taskgrant:dev'
/** Different, so that the token of a user is never taken for that of a workload. */
const AUDIENCE = { workload: 'taskgrant', user: 'taskgrant-user' } as const

/** Reads the key in `home`, or makes one. @throws {StartupError} if others can read it */
export async function loadOrCreateDevIssuer(home: string): Promise<DevIssuer> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  const jwk = await privateKey(join(home, 'dev-issuer.jwk'))
  const { d: _private, ...publicJwk } = jwk
  const kid = await calculateJwkThumbprint(publicJwk)
  const jwksFile = join(home, 'dev-jwks.json')
  await writeFile(jwksFile, JSON.stringify({ keys: [{ ...publicJwk, kid, alg: 'ES256', use: 'sig' }] }))
  const key = await importJWK(jwk, 'ES256')
  return {
    issuer: ISSUER,
    jwksFile,
    settings: () =>
      issuerSettings.parse({
        issuer: ISSUER,
        audience: AUDIENCE.workload,
        jwksFile,
        algorithms: ['ES256'],
        workload: { id: 'sub', groups: 'groups' },
        user: { id: 'sub', audience: AUDIENCE.user },
      }),
    async sign({ subject, use, ttlSeconds, groups }) {
      const token = await new SignJWT(groups === undefined ? {} : { groups })
        .setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT' })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE[use])
        .setSubject(subject)
        .setIssuedAt()
        .setExpirationTime(`${ttlSeconds}s`)
        .sign(key)
      return new Secret(token)
    },
  }
}

async function privateKey(path: string): Promise<JWK> {
  const kept = await readFile(path, 'utf8').catch(() => undefined)
  if (kept !== undefined) {
    if (((await stat(path)).mode & 0o077) !== 0) {
      throw new StartupError(`${path} can be read by others: make it mode 0600, or delete it for a new key`)
    }
    return JSON.parse(kept) as JWK
  }
  const { privateKey: fresh } = await generateKeyPair('ES256', { extractable: true })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, JSON.stringify(await exportJWK(fresh)), { mode: 0o600 })
  // Of two processes at once, the first link stands and both use it.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(draft)
  return JSON.parse(await readFile(path, 'utf8')) as JWK
}
