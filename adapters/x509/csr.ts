import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { fromDer, toDer } from './der.ts'
import { OID } from './oids.ts'
import { readBits, readOid, readSequence } from './read-der.ts'

/** What a certificate signing request may be, at most, in characters of PEM. */
export const MAX_CSR_LENGTH = 16_384

const PEM =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s([A-Za-z0-9+/=\s]+)-----END (NEW )?CERTIFICATE REQUEST-----\s*$/
const RSA_BITS = { min: 2048, max: 8192 }
const MIN_RSA_EXPONENT = 65_537n
const MAX_RSA_EXPONENT = 2n ** 32n

/** The hash of each signature algorithm that a request may be signed with; none for Ed25519, which brings its own. */
const HASH: Readonly<Record<string, { readonly type: string; readonly hash: string | null }>> = {
  [OID.ecdsaWithSha256]: { type: 'ec', hash: 'sha256' },
  [OID.ecdsaWithSha384]: { type: 'ec', hash: 'sha384' },
  [OID.ecdsaWithSha512]: { type: 'ec', hash: 'sha512' },
  [OID.rsaWithSha256]: { type: 'rsa', hash: 'sha256' },
  [OID.rsaWithSha384]: { type: 'rsa', hash: 'sha384' },
  [OID.rsaWithSha512]: { type: 'rsa', hash: 'sha512' },
  [OID.ed25519]: { type: 'ed25519', hash: null },
}

/** Why a certificate signing request is refused, in words for whoever sent it. */
export class CsrError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CsrError'
  }
}

/**
 * Takes the public key out of a PKCS #10 request, whose sender has shown that it holds the private one. Nothing else of
 * it counts: not its names, not its attributes. https://www.rfc-editor.org/rfc/rfc2986#section-4
 *
 * @throws {CsrError}
 */
export function publicKeyOfCsr(pem: string): KeyObject {
  const parts = takeApart(pem)
  const key = readPublicKey(parts.publicKeyInfo)
  const algorithm = HASH[parts.signatureAlgorithm]
  if (algorithm === undefined)
    throw new CsrError('its signature algorithm is not accepted: use SHA-256 or stronger')
  if (
    algorithm.type !== key.asymmetricKeyType ||
    !isValid(algorithm.hash, parts.signed, key, parts.signature)
  )
    throw new CsrError('its signature does not fit its public key')
  return key
}

interface CsrParts {
  readonly signed: Buffer
  readonly publicKeyInfo: Buffer
  readonly signatureAlgorithm: string
  readonly signature: Buffer
}

function takeApart(pem: string): CsrParts {
  const base64 = pem.length > MAX_CSR_LENGTH ? undefined : PEM.exec(pem)?.[2]?.replaceAll(/\s/g, '')
  if (base64 === undefined) throw new CsrError('expected one CERTIFICATE REQUEST in PEM')
  try {
    const der = Buffer.from(base64, 'base64')
    if (der.toString('base64') !== base64) throw new CsrError('expected base64')
    const [info, algorithm, signature, ...surplus] = readSequence(fromDer(der))
    const [, , publicKeyInfo] = readSequence(info)
    if (info === undefined || publicKeyInfo === undefined || surplus.length > 0)
      throw new CsrError('expected a request')
    return {
      signed: toDer(info),
      publicKeyInfo: toDer(publicKeyInfo),
      signatureAlgorithm: readOid(readSequence(algorithm)[0]),
      signature: readBits(signature),
    }
  } catch {
    throw new CsrError('it is not a certificate signing request in DER')
  }
}

function readPublicKey(der: Buffer): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch {
    throw new CsrError('its public key cannot be read')
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const isCurve = type === 'ec' && ['prime256v1', 'secp384r1'].includes(details?.namedCurve ?? '')
  if (
    isCurve ||
    type === 'ed25519' ||
    (type === 'rsa' && isSoundRsa(details?.modulusLength, details?.publicExponent))
  )
    return key
  throw new CsrError('its key is not accepted: use EC P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519')
}

function isSoundRsa(bits = 0, exponent = 0n): boolean {
  const isLength = bits >= RSA_BITS.min && bits <= RSA_BITS.max
  return isLength && exponent >= MIN_RSA_EXPONENT && exponent < MAX_RSA_EXPONENT && exponent % 2n === 1n
}

function isValid(hash: string | null, data: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify(hash, data, key, signature)
  } catch {
    return false
  }
}
