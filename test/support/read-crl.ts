import { verify, type X509Certificate } from 'node:crypto'
import { readExtension } from '../../adapters/x509/certificate-parts.ts'
import { fromDer, toDer, type Asn1 } from '../../adapters/x509/der.ts'
import { OID } from '../../adapters/x509/oids.ts'
import {
  isSequence,
  readBits,
  readIntegerHex,
  readOid,
  readSequence,
  readTagged,
} from '../../adapters/x509/read-der.ts'

/** A list as those read it who verify certificates. https://www.rfc-editor.org/rfc/rfc5280#section-5.1 */
export interface ReadCrl {
  readonly number: number
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  /** Undefined: the list says nothing of any certificate, as it must when there are none. */
  readonly entries: ReadonlyMap<string, Date> | undefined
  readonly serials: ReadonlySet<string>
  isSignedBy(certificate: X509Certificate): boolean
}

export function readCrl(der: Uint8Array): ReadCrl {
  const whole = fromDer(der)
  const [tbs, , signature] = readSequence(whole)
  const [version, algorithm, issuer, thisUpdate, nextUpdate, ...rest] = readSequence(tbs)
  if (readIntegerHex(version) !== '01' || tbs === undefined || issuer === undefined)
    throw new Error('no list')
  const revoked = isSequence(rest[0]) ? readSequence(rest.shift()) : undefined
  const [extensions] = readTagged(rest[0], 0)
  const number = new Map(readSequence(extensions).map(readExtension)).get(OID.crlNumber)?.value
  const entries = revoked && new Map(revoked.map(readEntry))
  return {
    number: Number.parseInt(readIntegerHex(fromDer(number ?? new Uint8Array())), 16),
    thisUpdate: readTime(thisUpdate),
    nextUpdate: readTime(nextUpdate),
    entries,
    serials: new Set(entries?.keys()),
    isSignedBy: (certificate) =>
      isSignature(toDer(tbs), algorithm, readBits(signature), certificate) &&
      toDer(issuer).equals(toDer(subjectOf(certificate))),
  }
}

function readEntry(entry: Asn1): [string, Date] {
  const [serial, withdrawnAt] = readSequence(entry)
  return [readIntegerHex(serial), readTime(withdrawnAt)]
}

function subjectOf(certificate: X509Certificate): Asn1 {
  const [tbs] = readSequence(fromDer(certificate.raw))
  const subject = readSequence(tbs)[5]
  if (subject === undefined) throw new Error('no certificate')
  return subject
}

const HASH: Readonly<Record<string, string | null>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.3.101.112': null,
}

export function isSignature(
  data: Uint8Array,
  algorithm: Asn1 | undefined,
  signature: Uint8Array,
  { publicKey }: X509Certificate,
): boolean {
  const hash = HASH[readOid(readSequence(algorithm)[0])]
  return hash !== undefined && verify(hash, data, publicKey, signature)
}

const UTC_TIME = 23
const TIME = /^(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/

/** UTCTime or GeneralizedTime, as RFC 5280 lets them be written. */
export function readTime(value: Asn1 | undefined): Date {
  const [, year = '', ...rest] = TIME.exec(String(value?.value)) ?? []
  if (rest.length !== 5 || (year.length === 2) !== (Number(value?.type) === UTC_TIME))
    throw new Error('no time')
  const [month, day, hour, minute, second] = rest
  return new Date(`${year.length === 2 ? `20${year}` : year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
