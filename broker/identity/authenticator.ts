import { BrokerError, StartupError, messageOf, type Flaw } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { delegationOf, workloadOf } from './claims.ts'
import type { IssuerSettings } from './issuer-config.ts'
import { keySource } from './key-source.ts'
import { Rejection } from './rejection.ts'
import type { RemoteKeysTiming } from './remote-keys.ts'
import { verifyToken, type TrustedIssuer } from './verify-token.ts'
import type { Delegation, Workload } from './workload.ts'

/** Turns tokens into identities. Reasons for refusing one never quote it. */
export interface Authenticator {
  /** @throws {BrokerError} `unauthenticated` */
  authenticate(token: Secret<string>): Promise<Workload>
  /** @throws {BrokerError} `invalid_request` at `onBehalfOf` */
  verifyUser(token: Secret<string>): Promise<Delegation>
}

export interface AuthenticatorOptions {
  readonly now?: () => Date
  readonly remoteKeys?: Partial<RemoteKeysTiming>
  /** Told once when the keys of an issuer cannot be renewed; the known ones stay in use. */
  readonly onKeyProblem?: (issuer: string, message: string) => void
}

/** @throws {StartupError} with every issuer that is named twice or has no usable keys */
export function createAuthenticator(
  issuers: readonly IssuerSettings[],
  options: AuthenticatorOptions = {},
): Authenticator {
  const trusted = trustIssuers(issuers, options)
  const now = options.now ?? (() => new Date())
  return {
    async authenticate(token) {
      try {
        const { issuer, mapping, claims } = await verifyToken(token.reveal(), 'workload', trusted, now())
        return workloadOf(issuer, mapping, claims)
      } catch (error) {
        throw error instanceof Rejection ? new BrokerError('unauthenticated', error.message) : error
      }
    },
    async verifyUser(token) {
      try {
        const { issuer, mapping, claims } = await verifyToken(token.reveal(), 'user', trusted, now())
        return delegationOf(issuer, mapping, claims)
      } catch (error) {
        if (!(error instanceof Rejection)) throw error
        throw new BrokerError('invalid_request', 'the token of the user is not accepted', {
          errors: [{ path: 'onBehalfOf', message: error.message }],
        })
      }
    },
  }
}

function trustIssuers(
  issuers: readonly IssuerSettings[],
  options: AuthenticatorOptions,
): ReadonlyMap<string, TrustedIssuer> {
  const trusted = new Map<string, TrustedIssuer>()
  const flaws: Flaw[] = []
  for (const [index, settings] of issuers.entries()) {
    const { issuer } = settings
    const onProblem = (message: string): void => options.onKeyProblem?.(issuer, message)
    if (trusted.has(issuer))
      flaws.push({ path: `issuers.${index}.issuer`, message: 'expected every issuer once' })
    try {
      trusted.set(issuer, {
        settings,
        findKey: keySource(settings, { timing: options.remoteKeys, onProblem }),
      })
    } catch (error) {
      flaws.push({ path: `issuers.${index}`, message: messageOf(error) })
    }
  }
  if (flaws.length > 0) throw new StartupError('the issuers cannot be used', flaws)
  return trusted
}
