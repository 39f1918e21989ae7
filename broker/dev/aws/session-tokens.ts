import { createCipheriv, createDecipheriv, createHash, randomBytes, randomInt } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { Secret } from '../../secret.ts'

/** What was agreed when a role was assumed. */
export interface Session {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly role: string
  readonly name: string
  /** Both in milliseconds since 1970, whole seconds. */
  readonly issuedAt: number
  readonly expiresAt: number
  readonly policy: string | undefined
  readonly policyArns: readonly string[]
  readonly tags: readonly (readonly [key: string, value: string])[]
  readonly sourceIdentity: string | undefined
}

export interface SessionTokens {
  /** Makes the access key too. */
  issue(session: Omit<Session, 'accessKeyId' | 'secretAccessKey'>): {
    readonly session: Session
    readonly token: string
  }
  /** Undefined if the token is not one of ours, or was issued for another access key. */
  open(token: string, accessKeyId: string): Session | undefined
}

const CIPHER = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const MAX_SESSION_BYTES = 64 * 1024

/**
 * A session is all in its token, encrypted with a key that lives as long as the emulator: however many there are, they
 * take no memory, and one that has expired is told from one that never was.
 */
export function openSessionTokens(): SessionTokens {
  const key = new Secret(randomBytes(32))

  return {
    issue(agreed) {
      const session: Session = {
        ...agreed,
        accessKeyId: newAccessKeyId(),
        secretAccessKey: randomBytes(30).toString('base64'),
      }
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv(CIPHER, key.reveal(), iv)
      const sealed = [cipher.update(deflateRawSync(JSON.stringify(session))), cipher.final()]
      return { session, token: Buffer.concat([iv, ...sealed, cipher.getAuthTag()]).toString('base64') }
    },

    open(token, accessKeyId) {
      const session = unseal(token, key.reveal())
      return session?.accessKeyId === accessKeyId ? session : undefined
    },
  }
}

function unseal(token: string, key: Buffer): Session | undefined {
  const bytes = Buffer.from(token, 'base64')
  // Node.js skips what is not base64, so that many texts would be one token.
  if (bytes.length <= IV_BYTES + TAG_BYTES || bytes.toString('base64') !== token) return undefined
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()])
    const json = inflateRawSync(plain, { maxOutputLength: MAX_SESSION_BYTES }).toString()
    // Only `issue` can have made what decrypts with this key.
    return JSON.parse(json) as Session
  } catch {
    return undefined
  }
}

function newAccessKeyId(): string {
  const random = Array.from({ length: 16 }, () => KEY_ALPHABET[randomInt(KEY_ALPHABET.length)])
  return `ASIA${random.join('')}`
}

/** AWS's form of a unique id: 4 letters for the kind, 17 more. The same for the same name, also after a restart. */
export function uniqueId(prefix: 'AIDA' | 'AROA', arn: string): string {
  const digest = createHash('sha256').update(arn).digest().subarray(0, 17)
  return prefix + Array.from(digest, (byte) => KEY_ALPHABET[byte % KEY_ALPHABET.length]).join('')
}
