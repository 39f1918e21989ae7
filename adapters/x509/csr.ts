import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { type Asn1, fromDer, toDer } from './der.ts'
import { OID } from './oids.ts'
import { isNull, isSequence, isTagged, readBits, readIntegerHex, readOid, readSequence } from './read-der.ts'

/** What a certificate signing request may be, at most, in characters of PEM. */
export const MAX_CSR_LENGTH = 16_384

const PEM = /^\s*-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----\s*$/
const VERSION_1 = '00'
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
  const { signed, publicKeyInfo, algorithm, signature } = takeApart(bytesOf(pem))
  const key = readPublicKey(publicKeyInfo)
  const accepted = HASH[algorithm.id]
  if (accepted === undefined)
    throw new CsrError('its signature algorithm is not accepted: use SHA-256 or stronger')
  if (
    accepted.type !== key.asymmetricKeyType ||
    // RSA's identifiers come with NULL, the others with nothing. https://www.rfc-editor.org/rfc/rfc4055#section-5
    !(algorithm.parameters === 'none' || (accepted.type === 'rsa' && algorithm.parameters === 'null')) ||
    !isValid(accepted.hash, signed, key, signature)
  )
    throw new CsrError('its signature does not fit its public key')
  return key
}

function bytesOf(pem: string): Buffer {
  const base64 = pem.length > MAX_CSR_LENGTH ? undefined : PEM.exec(pem)?.[2]?.replaceAll(/\s/g, '')
  if (base64 === undefined) throw new CsrError('expected one CERTIFICATE REQUEST in PEM')
  const der = Buffer.from(base64, 'base64')
  if (der.toString('base64') !== base64) throw new CsrError('its PEM is not base64')
  return der
}

interface CsrParts {
  readonly signed: Buffer
  readonly publicKeyInfo: Buffer
  readonly algorithm: { readonly id: string; readonly parameters: 'none' | 'null' | 'other' }
  readonly signature: Buffer
}

function takeApart(der: Buffer): CsrParts {
  try {
    const [info, algorithm, signature, ...surplus] = readSequence(fromDer(der))
    const [version, subject, publicKeyInfo, ...attributes] = readSequence(info)
    const isRequest =
      readIntegerHex(version) === VERSION_1 &&
      isSequence(subject) &&
      isSequence(publicKeyInfo) &&
      // Some leave them out when there are none.
      attributes.length <= 1 &&
      attributes.every((one) => isTagged(one, 0) && one.constructed) &&
      surplus.length === 0
    if (!isRequest || info === undefined || publicKeyInfo === undefined) throw new Error('expected a request')
    return {
      signed: toDer(info),
      publicKeyInfo: toDer(publicKeyInfo),
      algorithm: readAlgorithm(algorithm),
      signature: readBits(signature),
    }
  } catch {
    throw new CsrError('it is not a certificate signing request in DER')
  }
}

function readAlgorithm(algorithm: Asn1 | undefined): CsrParts['algorithm'] {
  const [id, ...parameters] = readSequence(algorithm)
  const isOneNull = parameters.length === 1 && isNull(parameters[0])
  return { id: readOid(id), parameters: parameters.length === 0 ? 'none' : isOneNull ? 'null' : 'other' }
}

function readPublicKey(der: Buffer): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch {
    throw new CsrError('its public key cannot be read')
  }
  if (!isAccepted(key))
    throw new CsrError('its key is not accepted: use EC P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519')
  if (!usualFormOf(key).equals(der)) throw new CsrError('its public key is not written in the usual form')
  return key
}

function isAccepted({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === 'ec') return ['prime256v1', 'secp384r1'].includes(details?.namedCurve ?? '')
  if (type === 'rsa') return isSoundRsa(details?.modulusLength, details?.publicExponent)
  return type === 'ed25519'
}

function isSoundRsa(bits = 0, exponent = 0n): boolean {
  const isLength = bits >= RSA_BITS.min && bits <= RSA_BITS.max
  return isLength && exponent >= MIN_RSA_EXPONENT && exponent < MAX_RSA_EXPONENT && exponent % 2n === 1n
}

/**
 * The form in which keys go into certificates: a named curve, an uncompressed point. OpenSSL reads more than that,
 * curves that are spelled out among them, and writes them again as they came; not everybody who verifies does.
 * https://www.rfc-editor.org/rfc/rfc5480#section-2
 */
function usualFormOf(key: KeyObject): Buffer {
  const plain = createPublicKey({ key: key.export({ format: 'jwk' }), format: 'jwk' })
  return plain.export({ type: 'spki', format: 'der' })
}

function isValid(hash: string | null, data: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify(hash, data, key, signature)
  } catch {
    return false
  }
}
