import { createPublicKey } from 'node:crypto'
import { z } from 'zod'

const SECRET_MEMBERS = ['d', 'k', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'priv']
const CHECKED_TYPES = ['EC', 'RSA', 'OKP']

const publicJwk = z
  .looseObject({ kty: z.string() })
  .refine(
    (jwk) => SECRET_MEMBERS.every((member) => !Object.hasOwn(jwk, member)),
    'expected a public key: this one holds secret members',
  )
  .refine(
    // Keys of other types never match an algorithm that is allowed here.
    (jwk) => !CHECKED_TYPES.includes(jwk.kty) || isWellFormed(jwk),
    'expected a well-formed public key',
  )

/** A JSON Web Key Set of public keys only. https://www.rfc-editor.org/rfc/rfc7517#section-5 */
export const publicJwks = z.looseObject({ keys: z.array(publicJwk).max(100) })

export type PublicJwks = z.output<typeof publicJwks>

function isWellFormed(jwk: Record<string, unknown>): boolean {
  try {
    createPublicKey({ key: jwk, format: 'jwk' })
    return true
  } catch {
    return false
  }
}
