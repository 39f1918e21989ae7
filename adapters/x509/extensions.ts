import {
  type Asn1,
  bitString,
  boolean,
  octetString,
  oid,
  sequence,
  tagged,
  taggedBytes,
  toDer,
} from './der.ts'
import { OID } from './oids.ts'

/** Bits of KeyUsage. https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.3 */
export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const

export type KeyUsage = keyof typeof KEY_USAGE

/** https://www.rfc-editor.org/rfc/rfc5280#section-4.2 */
export function extension(id: string, value: Asn1, critical = false): Asn1 {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(toDer(value)))
}

export function basicConstraints(ca: boolean): Asn1 {
  return extension(OID.basicConstraints, ca ? sequence(boolean(true)) : sequence(), true)
}

/** Named bits: without trailing zeros, as DER wants them. */
export function keyUsage(usages: readonly KeyUsage[]): Asn1 {
  const bits: number[] = usages.map((usage) => KEY_USAGE[usage])
  const byte = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0)
  return extension(OID.keyUsage, bitString(Buffer.from([byte]), 7 - Math.max(...bits)), true)
}

export function extendedKeyUsage(purposes: readonly string[]): Asn1 {
  return extension(OID.extKeyUsage, sequence(...purposes.map(oid)))
}

export function subjectKeyIdentifier(identifier: Uint8Array): Asn1 {
  return extension(OID.subjectKeyIdentifier, octetString(identifier))
}

export function authorityKeyIdentifier(identifier: Uint8Array): Asn1 {
  return extension(OID.authorityKeyIdentifier, sequence(taggedBytes(0, identifier)))
}

// GeneralName. https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.6
function dnsName(name: string): Asn1 {
  return taggedBytes(2, Buffer.from(name, 'ascii'))
}

function uri(text: string): Asn1 {
  return taggedBytes(6, Buffer.from(text, 'ascii'))
}

export function subjectAltName(names: { readonly uri: string; readonly dns: readonly string[] }): Asn1 {
  return extension(OID.subjectAltName, sequence(uri(names.uri), ...names.dns.map(dnsName)))
}

export function crlDistributionPoint(url: string): Asn1 {
  return extension(OID.crlDistributionPoints, sequence(sequence(tagged(0, tagged(0, uri(url))))))
}

export function authorityInfoAccess(urls: { readonly ocsp: string; readonly caIssuers: string }): Asn1 {
  const descriptions = [
    sequence(oid(OID.ocsp), uri(urls.ocsp)),
    sequence(oid(OID.caIssuers), uri(urls.caIssuers)),
  ]
  return extension(OID.authorityInfoAccess, sequence(...descriptions))
}
