import { decodeJwt, decodeProtectedHeader, jwtVerify, type JWTPayload } from 'jose'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { claimOf, groupsOf, identifierOf, RejectedToken } from './claims.ts'
import { actorsOf } from './actors.ts'
import type { IssuerSettings } from './issuer-config.ts'
import { keysOf } from './keys.ts'
import type { Delegation, Workload } from './workload.ts'

export interface Authenticator {
  /** Who calls. @throws {BrokerError} `unauthenticated` */
  authenticate(token: Secret<string>): Promise<Workload>
  /** For whom the work is done, and through whom. @throws {BrokerError} `invalid_request` */
  verifyUser(token: Secret<string>): Promise<Delegation>
}

type Use = 'workload' | 'user'

const MAX_TOKEN_LENGTH = 16 * 1024
/** Token types that are no access tokens, whoever signed them. */
const ACCEPTED_TYPES = new Set(['jwt', 'at+jwt', 'application/at+jwt'])

export function createAuthenticator(issuers: readonly IssuerSettings[]): Authenticator {
  const known = new Map(issuers.map((settings) => [settings.issuer, { settings, keys: keysOf(settings) }]))

  async function verify(token: string, use: Use): Promise<{ payload: JWTPayload; settings: IssuerSettings }> {
    if (token.length > MAX_TOKEN_LENGTH) throw new RejectedToken('the token is too long')
    const { issuer, type } = unverified(token)
    const found = issuer === undefined ? undefined : known.get(issuer)
    if (found === undefined) throw new RejectedToken('the issuer of the token is not configured')
    const { settings, keys } = found
    const mapping = settings[use]
    if (mapping === undefined) throw new RejectedToken(`the issuer of the token is not one for ${use}s`)
    if (type !== undefined && !ACCEPTED_TYPES.has(type))
      throw new RejectedToken('the token is of another type')
    const audience = mapping.audience ?? settings.audience
    const { payload } = await jwtVerify(token, keys, {
      issuer: settings.issuer,
      audience,
      algorithms: settings.algorithms,
      requiredClaims: ['exp'],
      clockTolerance: settings.clockToleranceSeconds,
      ...(settings.maxTokenAgeSeconds === undefined ? {} : { maxTokenAge: settings.maxTokenAgeSeconds }),
    })
    const { iat } = payload
    if (iat !== undefined && iat > Date.now() / 1000 + settings.clockToleranceSeconds) {
      throw new RejectedToken('the token was issued in the future')
    }
    return { payload, settings }
  }

  return {
    async authenticate(token) {
      try {
        const { payload, settings } = await verify(token.reveal(), 'workload')
        const { id, groups, idPrefix = '' } = settings.workload ?? { id: 'sub' }
        return {
          id: idPrefix + identifierOf(claimOf(payload, id)),
          issuer: settings.issuer,
          subject: identifierOf(payload.sub ?? claimOf(payload, id)),
          groups: groups === undefined ? [] : groupsOf(claimOf(payload, groups)),
        }
      } catch (error) {
        throw new BrokerError('unauthenticated', reasonOf(error), { cause: error })
      }
    },
    async verifyUser(token) {
      try {
        const { payload, settings } = await verify(token.reveal(), 'user')
        const id = identifierOf(claimOf(payload, settings.user?.id ?? 'sub'))
        const subject = identifierOf(payload.sub ?? id)
        return { user: { id, issuer: settings.issuer, subject }, actors: actorsOf(payload['act']) }
      } catch (error) {
        throw new BrokerError('invalid_request', 'the token of the user is not accepted', {
          errors: [{ path: 'onBehalfOf', message: reasonOf(error) }],
          cause: error,
        })
      }
    },
  }
}

/** What decides which keys to check with; believed only after they have been used. */
function unverified(token: string): { issuer: string | undefined; type: string | undefined } {
  try {
    return { issuer: decodeJwt(token).iss, type: decodeProtectedHeader(token).typ?.toLowerCase() }
  } catch (error) {
    throw new RejectedToken('the token is not a signed JWT', { cause: error })
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: 'the token has expired',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'a claim of the token is missing or not accepted',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'the signature of the token does not verify',
  ERR_JWKS_NO_MATCHING_KEY: 'the key of the token is not known',
  ERR_JWKS_TIMEOUT: 'the keys of the issuer cannot be fetched',
  ERR_JOSE_ALG_NOT_ALLOWED: 'the algorithm of the token is not allowed',
}

/** A short reason without a word of the token. */
function reasonOf(error: unknown): string {
  if (error instanceof RejectedToken) return error.message
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? 'the token cannot be verified'
}
