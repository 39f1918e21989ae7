import { createHash } from 'node:crypto'
import type { Ca } from './ca.ts'
import { readExtension, type Extension } from './certificate-parts.ts'
import { type Asn1, fromDer, toDer } from './der.ts'
import { OID } from './oids.ts'
import {
  isNull,
  isTagged,
  readIntegerHex,
  readOctets,
  readOid,
  readSequence,
  readTagged,
} from './read-der.ts'

const VERSION_1 = '00'
const MAX_REQUESTS = 16
const NONCE_BYTES = { min: 1, max: 128 }

const HASHES: Readonly<Record<string, string>> = {
  [OID.sha1]: 'sha1',
  [OID.sha256]: 'sha256',
  [OID.sha384]: 'sha384',
  [OID.sha512]: 'sha512',
}

/** Which certificate is asked about. */
export interface CertId {
  /** As it came, to be repeated in the answer. */
  readonly asn1: Asn1
  readonly hash: string
  readonly issuerNameHash: Buffer
  readonly issuerKeyHash: Buffer
  readonly serial: string
}

export interface OcspRequest {
  readonly certIds: readonly CertId[]
  /** The extension's value, to be repeated in the answer. https://www.rfc-editor.org/rfc/rfc9654#section-2.1 */
  readonly nonce: Buffer | undefined
}

/**
 * Reads an OCSP request; a signature of it is not looked at. https://www.rfc-editor.org/rfc/rfc6960#section-4.1.1
 *
 * @throws {Error} if it is malformed, asks about too many certificates, or has a critical extension that is not known
 */
export function readOcspRequest(der: Uint8Array): OcspRequest {
  const [tbs, ...afterTbs] = readSequence(fromDer(der))
  takeOptional(afterTbs, 0)
  const parts = readSequence(tbs)
  const version = takeOptional(parts, 0)
  if (version !== undefined && readIntegerHex(version) !== VERSION_1) throw new Error('expected version 1')
  takeOptional(parts, 1)
  const list = readSequence(parts.shift())
  if (list.length === 0 || list.length > MAX_REQUESTS)
    throw new Error(`expected 1 to ${MAX_REQUESTS} certificates`)
  const extensions = readExtensions(takeOptional(parts, 2))
  if (parts.length > 0 || afterTbs.length > 0) throw new Error('expected nothing more')
  requireKnown(extensions, [OID.ocspNonce])
  const nonce = extensions.get(OID.ocspNonce)?.value
  return { certIds: list.map(readRequest), nonce: nonce && checkedNonce(nonce) }
}

/** Takes `[tag] EXPLICIT` off the front, if it is there. */
function takeOptional(parts: Asn1[], tag: number): Asn1 | undefined {
  if (!isTagged(parts[0], tag)) return undefined
  const [value, ...surplus] = readTagged(parts.shift(), tag)
  if (value === undefined || surplus.length > 0) throw new Error('expected one value')
  return value
}

function readRequest(request: Asn1): CertId {
  const [certId, ...rest] = readSequence(request)
  const extensions = takeOptional(rest, 0)
  if (rest.length > 0) throw new Error('expected nothing more')
  requireKnown(readExtensions(extensions), [])
  return readCertId(certId)
}

function readCertId(certId: Asn1 | undefined): CertId {
  const [algorithm, nameHash, keyHash, serial, ...surplus] = readSequence(certId)
  const [id, ...parameters] = readSequence(algorithm)
  const hash = HASHES[readOid(id)]
  const isPlain = parameters.length === 0 || (parameters.length === 1 && isNull(parameters[0]))
  if (certId === undefined || hash === undefined || !isPlain || surplus.length > 0)
    throw new Error('expected a known hash, and no more than a serial')
  return {
    asn1: certId,
    hash,
    issuerNameHash: readOctets(nameHash),
    issuerKeyHash: readOctets(keyHash),
    serial: readIntegerHex(serial),
  }
}

function readExtensions(extensions: Asn1 | undefined): ReadonlyMap<string, Extension> {
  const list = extensions === undefined ? [] : readSequence(extensions).map(readExtension)
  const byId = new Map(list)
  if (byId.size < list.length) throw new Error('expected each extension once')
  return byId
}

/** What must be understood and is not known makes a request malformed. */
function requireKnown(extensions: ReadonlyMap<string, Extension>, known: readonly string[]): void {
  for (const [id, { critical }] of extensions)
    if (critical && !known.includes(id)) throw new Error('an extension is not understood')
}

function checkedNonce(value: Buffer): Buffer {
  const { length } = readOctets(fromDer(value))
  if (length < NONCE_BYTES.min || length > NONCE_BYTES.max)
    throw new Error('expected a nonce of 1 to 128 bytes')
  return value
}

/** Whether it is this authority that a request names as the issuer. */
export function isIssuedBy(certId: CertId, ca: Ca): boolean {
  const hashOf = (bytes: Uint8Array): Buffer => createHash(certId.hash).update(bytes).digest()
  return (
    certId.issuerKeyHash.equals(hashOf(ca.publicKeyBits)) &&
    certId.issuerNameHash.equals(hashOf(toDer(ca.name)))
  )
}
