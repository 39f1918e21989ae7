import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type CryptoKey,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose'
import { audienceOf, type IssuerSettings, type Use } from './issuer-config.ts'
import { Rejection } from './rejection.ts'

const MAX_LENGTH = 16_384
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/
// RFC 8725 section 3.11: other kinds of JWT (logout, security event, DPoP proof, transaction) are signed by the same
// keys and mean something else. `JOSE` is the other type that a SPIFFE JWT-SVID may have.
const TYPES = new Set(['jwt', 'at+jwt', 'jose'])
/** How many keys are tried for a token without `kid`. */
const MAX_CANDIDATES = 8

export interface TrustedIssuer {
  readonly settings: IssuerSettings
  readonly findKey: JWTVerifyGetKey
}

export interface VerifiedToken<U extends Use> {
  readonly issuer: string
  /** Which claims name whom. */
  readonly mapping: NonNullable<IssuerSettings[U]>
  readonly claims: JWTPayload
}

/** Checks all that makes a token believable for this use, https://www.rfc-editor.org/rfc/rfc8725. @throws {Rejection} */
export async function verifyToken<U extends Use>(
  token: string,
  use: U,
  issuers: ReadonlyMap<string, TrustedIssuer>,
  now: Date,
): Promise<VerifiedToken<U>> {
  if (token.length > MAX_LENGTH) throw new Rejection(`the token is longer than ${MAX_LENGTH} characters`)
  if (!COMPACT.test(token)) throw new Rejection('the token is not a signed JWT')
  const { header, issuer } = readUnverified(token)
  requireKnownHeader(header)
  const trusted = typeof issuer === 'string' ? issuers.get(issuer) : undefined
  if (trusted === undefined) throw new Rejection('the issuer of the token is not trusted')
  const { settings, findKey } = trusted
  const mapping = settings[use]
  if (mapping === undefined) throw new Rejection(`the issuer of the token is not trusted for a ${use}`)
  const options: JWTVerifyOptions = {
    algorithms: [...settings.algorithms],
    issuer: settings.issuer,
    audience: [...audienceOf(settings, use)],
    requiredClaims: ['exp'],
    clockTolerance: settings.clockToleranceSeconds,
    currentDate: now,
    ...(settings.maxTokenAgeSeconds === undefined ? {} : { maxTokenAge: settings.maxTokenAgeSeconds }),
  }
  try {
    const { payload: claims } = await verifySignature(token, findKey, options)
    requireSaneTimes(claims, now.getTime() / 1000 + settings.clockToleranceSeconds)
    return { issuer: settings.issuer, mapping, claims }
  } catch (error) {
    // Not as `cause`: jose's errors carry the claims.
    throw error instanceof Rejection ? error : new Rejection(reasonOf(error))
  }
}

function readUnverified(token: string): { header: Record<string, unknown>; issuer: unknown } {
  try {
    return { header: { ...decodeProtectedHeader(token) }, issuer: decodeJwt(token).iss }
  } catch {
    throw new Rejection('the token is not a signed JWT')
  }
}

function requireKnownHeader(header: Record<string, unknown>): void {
  if (Object.hasOwn(header, 'crit'))
    throw new Rejection('the token has critical extensions, and none is known here')
  const typ = header['typ']
  if (typ === undefined) return
  if (typeof typ !== 'string' || !TYPES.has(typ.toLowerCase().replace(/^application\//, ''))) {
    throw new Rejection('the token is of a type that does not authenticate')
  }
}

async function verifySignature(
  token: string,
  findKey: JWTVerifyGetKey,
  options: JWTVerifyOptions,
): Promise<{ payload: JWTPayload }> {
  try {
    return await jwtVerify(token, findKey, options)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    return verifyWithAny(token, error, options)
  }
}

async function verifyWithAny(
  token: string,
  candidates: AsyncIterable<CryptoKey>,
  options: JWTVerifyOptions,
): Promise<{ payload: JWTPayload }> {
  let left = MAX_CANDIDATES
  for await (const key of candidates) {
    if (left-- === 0) break
    try {
      return await jwtVerify(token, key, options)
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
    }
  }
  throw new errors.JWSSignatureVerificationFailed()
}

// jose looks at `iat` only where there is a maximum age, and `1e999` in JSON is a number that never passes.
function requireSaneTimes(claims: JWTPayload, latest: number): void {
  const { exp, nbf, iat } = claims
  for (const time of [exp, nbf, iat]) {
    if (time !== undefined && !(Number.isFinite(time) && time >= 0))
      throw new Rejection('a time of the token is not a time')
  }
  if (iat !== undefined && iat > latest) throw new Rejection('the token is from the future')
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) {
    return error.claim === 'exp' ? 'the token has expired' : 'the token is too old'
  }
  if (error instanceof errors.JWTClaimValidationFailed) return reasonOfClaim(error)
  if (error instanceof errors.JOSEAlgNotAllowed) return 'the algorithm of the token is not allowed'
  if (error instanceof errors.JWKSNoMatchingKey) return 'the issuer has no key that fits the token'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature of the token is wrong'
  return 'the token cannot be verified'
}

function reasonOfClaim({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `the token has no ${claim} claim`
  if (reason === 'invalid') return `the ${claim} claim of the token is not usable`
  if (claim === 'aud') return 'the token is meant for another audience'
  if (claim === 'nbf') return 'the token is not valid yet'
  if (claim === 'iat') return 'the token is from the future'
  return 'the token cannot be verified'
}
