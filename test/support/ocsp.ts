import { createHash, type X509Certificate } from 'node:crypto'
import { readExtension, type Extension } from '../../adapters/x509/certificate-parts.ts'
import {
  fromDer,
  integerFromHex,
  nothing,
  octetString,
  oid,
  sequence,
  tagged,
  toDer,
  type Asn1,
} from '../../adapters/x509/der.ts'
import { extension } from '../../adapters/x509/extensions.ts'
import {
  isTagged,
  readBits,
  readIntegerHex,
  readOctets,
  readOid,
  readSequence,
  readTagged,
} from '../../adapters/x509/read-der.ts'
import { isSignature, readTime } from './read-crl.ts'

export const NONCE = '1.3.6.1.5.5.7.48.1.2'
export const HASHES = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const

interface IssuerParts {
  readonly name: Asn1
  readonly keyBits: Buffer
}

function partsOf(issuer: X509Certificate): IssuerParts {
  const [tbs] = readSequence(fromDer(issuer.raw))
  const [, , , , , subject, publicKeyInfo] = readSequence(tbs)
  if (subject === undefined) throw new Error('no certificate')
  return { name: subject, keyBits: readBits(readSequence(publicKeyInfo)[1]) }
}

export interface CertIdWish {
  readonly hash?: keyof typeof HASHES
  readonly parameters?: Asn1[]
}

/** https://www.rfc-editor.org/rfc/rfc6960#section-4.1.1 */
export function certIdOf(issuer: X509Certificate, serial: string, wish: CertIdWish = {}): Asn1 {
  const { hash = 'sha1', parameters = [nothing()] } = wish
  const { name, keyBits } = partsOf(issuer)
  const hashed = (bytes: Uint8Array): Asn1 => octetString(createHash(hash).update(bytes).digest())
  return sequence(
    sequence(oid(HASHES[hash]), ...parameters),
    hashed(toDer(name)),
    hashed(keyBits),
    integerFromHex(serial),
  )
}

export interface OcspWish {
  readonly nonce?: Uint8Array
  readonly extensions?: Asn1[]
  readonly before?: Asn1[]
  readonly after?: Asn1[]
  readonly afterTbs?: Asn1[]
}

export function nonceExtension(nonce: Uint8Array, critical = false): Asn1 {
  return extension(NONCE, octetString(nonce), critical)
}

export function ocspRequest(certIds: readonly Asn1[], wish: OcspWish = {}): Buffer {
  const extensions = [
    ...(wish.nonce === undefined ? [] : [nonceExtension(wish.nonce)]),
    ...(wish.extensions ?? []),
  ]
  const tbs = sequence(
    ...(wish.before ?? []),
    sequence(...certIds.map((certId) => sequence(certId))),
    ...(extensions.length === 0 ? [] : [tagged(2, sequence(...extensions))]),
    ...(wish.after ?? []),
  )
  return toDer(sequence(tbs, ...(wish.afterTbs ?? [])))
}

export interface SingleAnswer {
  readonly certId: string
  readonly serial: string
  readonly status: 'good' | 'revoked' | 'unknown'
  readonly revokedAt: Date | undefined
  readonly thisUpdate: Date
  readonly nextUpdate: Date | undefined
}

export interface ReadOcsp {
  /** https://www.rfc-editor.org/rfc/rfc6960#section-4.2.1 */
  readonly status: number
  readonly answers: readonly SingleAnswer[]
  readonly producedAt: Date | undefined
  /** SHA-1 of the key of whoever answered. */
  readonly responderKeyHash: string | undefined
  readonly extensions: ReadonlyMap<string, Extension>
  readonly certificates: readonly Buffer[]
  isSignedBy(certificate: X509Certificate): boolean
}

/** @throws {Error} if it is no answer */
export function readOcsp(der: Uint8Array): ReadOcsp {
  const [status, bytes, ...surplus] = readSequence(fromDer(der))
  if (Number(status?.type) !== 10 || surplus.length > 0) throw new Error('no answer')
  const code = Buffer.from(String(status?.value), 'latin1').readUInt8(0)
  if (bytes === undefined) return { ...NOTHING, status: code }
  const [type, response] = readSequence(readTagged(bytes, 0)[0])
  if (readOid(type) !== '1.3.6.1.5.5.7.48.1.1') throw new Error('no basic answer')
  const [data, algorithm, signature, certs] = readSequence(fromDer(readOctets(response)))
  const [responder, producedAt, list, extensions] = readSequence(data)
  if (data === undefined) throw new Error('no answer')
  const found = extensions === undefined ? [] : readSequence(readTagged(extensions, 1)[0])
  return {
    status: code,
    answers: readSequence(list).map(readSingle),
    producedAt: readTime(producedAt),
    responderKeyHash: readOctets(readTagged(responder, 2)[0]).toString('hex'),
    extensions: new Map(found.map(readExtension)),
    certificates: certs === undefined ? [] : readSequence(readTagged(certs, 0)[0]).map(toDer),
    isSignedBy: (certificate) => isSignature(toDer(data), algorithm, readBits(signature), certificate),
  }
}

const NOTHING: ReadOcsp = {
  status: 0,
  answers: [],
  producedAt: undefined,
  responderKeyHash: undefined,
  extensions: new Map(),
  certificates: [],
  isSignedBy: () => false,
}

function readSingle(single: Asn1): SingleAnswer {
  const [certId, status, thisUpdate, nextUpdate] = readSequence(single)
  const serial = readIntegerHex(readSequence(certId)[3])
  const isRevoked = isTagged(status, 1)
  if (certId === undefined || !(isRevoked || isTagged(status, 0) || isTagged(status, 2)))
    throw new Error('no status')
  return {
    certId: toDer(certId).toString('hex'),
    serial,
    status: isRevoked ? 'revoked' : isTagged(status, 0) ? 'good' : 'unknown',
    revokedAt: isRevoked ? readTime(readTagged(status, 1)[0]) : undefined,
    thisUpdate: readTime(thisUpdate),
    nextUpdate: nextUpdate === undefined ? undefined : readTime(readTagged(nextUpdate, 0)[0]),
  }
}

export function keyHashOf(certificate: X509Certificate): string {
  return createHash('sha1').update(partsOf(certificate).keyBits).digest('hex')
}
