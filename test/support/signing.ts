import { generateKeyPairSync, sign as signBytes, type KeyObject } from 'node:crypto'
import { Secret } from '../../broker/secret.ts'

/** Signs whatever a test wants, also what no library would. */

export const ISSUER = 'https://idp.test'

export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly publicJwk: Readonly<Record<string, unknown>>
}

export function signingKey(kid: string): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey, publicKey, publicJwk: { ...publicKey.export({ format: 'jwk' }), kid } }
}

export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds
}

export function encode(part: unknown): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
}

/** The claims of a token that is good in every way. */
export function goodClaims(): Record<string, unknown> {
  return { iss: ISSUER, sub: 'mcp-orders', aud: 'taskgrant', iat: inSeconds(0), exp: inSeconds(60) }
}

export interface Changes {
  readonly header?: Readonly<Record<string, unknown>>
  /** On top of the good ones: undefined takes a claim away. A string is the whole payload. */
  readonly claims?: Readonly<Record<string, unknown>> | string
}

/** An ES256 token that is good but for the changes. */
export function token(key: SigningKey, { header = {}, claims = {} }: Changes = {}): Secret<string> {
  const payload = typeof claims === 'string' ? claims : { ...goodClaims(), ...claims }
  const signed = `${encode({ alg: 'ES256', kid: key.kid, typ: 'JWT', ...header })}.${encode(payload)}`
  const signature = signBytes('sha256', Buffer.from(signed), {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  return new Secret(`${signed}.${signature.toString('base64url')}`)
}
