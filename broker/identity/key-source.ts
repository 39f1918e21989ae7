import { createLocalJWKSet, type JWTVerifyGetKey } from 'jose'
import { fileKeys } from './file-keys.ts'
import type { IssuerSettings } from './issuer-config.ts'
import { remoteKeys, type RemoteKeysTiming } from './remote-keys.ts'

export interface KeySourceOptions {
  readonly timing?: Partial<RemoteKeysTiming> | undefined
  /** Told when keys cannot be had; the ones that are known stay in use. */
  readonly onProblem: (message: string) => void
}

/** Finds the key that a token of this issuer asks for. @throws {Error} when a key file is not usable */
export function keySource(settings: IssuerSettings, options: KeySourceOptions): JWTVerifyGetKey {
  const { jwks, jwksUri, jwksFile, issuer } = settings
  if (jwks !== undefined) return createLocalJWKSet(jwks)
  if (jwksUri !== undefined) return remoteKeys(new URL(jwksUri), options)
  if (jwksFile !== undefined) return fileKeys(jwksFile, options.onProblem)
  throw new Error(`the issuer ${issuer} has no keys`)
}
