import { sign, type KeyObject } from 'node:crypto'
import { type Asn1, nothing, oid, sequence } from './der.ts'
import { OID } from './oids.ts'

/** How a key signs: the identifier that says so, and the signing itself. */
export interface Signer {
  readonly algorithm: Asn1
  sign(data: Uint8Array): Buffer
}

const MIN_RSA_BITS = 2048

/**
 * The signature algorithm of a private key: ECDSA with the hash that fits its curve, RSA with SHA-256, Ed25519.
 * https://www.rfc-editor.org/rfc/rfc5758#section-3.2
 *
 * @throws {Error} if it is a key of another kind or too short
 */
export function signerOf(key: KeyObject): Signer {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return signer(key, 'sha256', OID.ecdsaWithSha256)
  if (type === 'ec' && details?.namedCurve === 'secp384r1') return signer(key, 'sha384', OID.ecdsaWithSha384)
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS)
    return signer(key, 'sha256', OID.rsaWithSha256, nothing())
  if (type === 'ed25519') return signer(key, null, OID.ed25519)
  throw new Error('expected a key of EC P-256 or P-384, RSA of at least 2048 bits, or Ed25519')
}

function signer(key: KeyObject, hash: string | null, id: string, ...parameters: Asn1[]): Signer {
  return { algorithm: sequence(oid(id), ...parameters), sign: (data) => sign(hash, data, key) }
}
