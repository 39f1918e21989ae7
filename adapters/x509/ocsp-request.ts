import { createHash } from 'node:crypto'
import type { Ca } from './ca.ts'
import { type Asn1, fromDer, toDer } from './der.ts'
import { OID } from './oids.ts'
import {
  isBoolean,
  isSequence,
  isTagged,
  readIntegerHex,
  readOctets,
  readOid,
  readSequence,
  readTagged,
} from './read-der.ts'

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
 * @throws {Error} if it is malformed, or asks about too many certificates
 */
export function readOcspRequest(der: Uint8Array): OcspRequest {
  const [tbs] = readSequence(fromDer(der))
  const parts = readSequence(tbs)
  const list = readSequence(parts.find(isSequence))
  if (list.length === 0 || list.length > MAX_REQUESTS)
    throw new Error(`expected 1 to ${MAX_REQUESTS} certificates`)
  const extensions = parts.find((part) => isTagged(part, 2))
  return {
    certIds: list.map((request) => readCertId(readSequence(request)[0])),
    nonce: extensions === undefined ? undefined : readNonce(readTagged(extensions, 2)[0]),
  }
}

function readCertId(certId: Asn1 | undefined): CertId {
  const [algorithm, nameHash, keyHash, serial] = readSequence(certId)
  const hash = HASHES[readOid(readSequence(algorithm)[0])]
  if (certId === undefined || hash === undefined) throw new Error('expected a known hash')
  return {
    asn1: certId,
    hash,
    issuerNameHash: readOctets(nameHash),
    issuerKeyHash: readOctets(keyHash),
    serial: readIntegerHex(serial),
  }
}

/** The nonce; an extension that must be understood and is not known makes the request malformed. */
function readNonce(extensions: Asn1 | undefined): Buffer | undefined {
  let nonce: Buffer | undefined
  for (const extension of readSequence(extensions)) {
    const [id, ...rest] = readSequence(extension)
    const critical = isBoolean(rest[0])
    if (readOid(id) === OID.ocspNonce && nonce === undefined) {
      nonce = readOctets(rest.at(-1))
      const { length } = readOctets(fromDer(nonce))
      if (length < NONCE_BYTES.min || length > NONCE_BYTES.max)
        throw new Error('expected a nonce of 1 to 128 bytes')
    } else if (critical) throw new Error('an extension is not understood')
  }
  return nonce
}

/** Whether it is this authority that a request names as the issuer. */
export function isIssuedBy(certId: CertId, ca: Ca): boolean {
  const hashOf = (bytes: Uint8Array): Buffer => createHash(certId.hash).update(bytes).digest()
  return (
    certId.issuerKeyHash.equals(hashOf(ca.publicKeyBits)) &&
    certId.issuerNameHash.equals(hashOf(toDer(ca.name)))
  )
}
