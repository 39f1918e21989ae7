import { type Asn1, fromDer } from './der.ts'
import {
  isBoolean,
  readBits,
  readBoolean,
  readIntegerHex,
  readOctets,
  readOid,
  readSequence,
  readTagged,
} from './read-der.ts'

export interface Extension {
  readonly critical: boolean
  readonly value: Buffer
}

/** What of a certificate goes into others, or is compared with what it was to be. */
export interface CertificateParts {
  readonly serial: string
  readonly issuer: Asn1
  readonly subject: Asn1
  readonly publicKeyInfo: Asn1
  /** The content of the BIT STRING in it. */
  readonly publicKeyBits: Buffer
  readonly extensions: ReadonlyMap<string, Extension>
}

/**
 * Takes a certificate (version 3) apart. https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 *
 * @throws {Error} if it is none, in DER
 */
export function certificateParts(der: Uint8Array): CertificateParts {
  const [tbs] = readSequence(fromDer(der))
  const [version, serial, , issuer, , subject, publicKeyInfo, ...rest] = readSequence(tbs)
  readTagged(version, 0)
  if (issuer === undefined || subject === undefined || publicKeyInfo === undefined)
    throw new Error('expected a certificate')
  const [extensions] = readTagged(rest.at(-1), 3)
  return {
    serial: readIntegerHex(serial),
    issuer,
    subject,
    publicKeyInfo,
    publicKeyBits: readBits(readSequence(publicKeyInfo)[1]),
    extensions: new Map(readSequence(extensions).map(readExtension)),
  }
}

/** Its object identifier, and what it says. https://www.rfc-editor.org/rfc/rfc5280#section-4.1 */
export function readExtension(extension: Asn1): [string, Extension] {
  const [id, ...rest] = readSequence(extension)
  const critical = isBoolean(rest[0]) && readBoolean(rest.shift())
  const [value, ...surplus] = rest
  if (surplus.length > 0) throw new Error('expected an extension')
  return [readOid(id), { critical, value: readOctets(value) }]
}
