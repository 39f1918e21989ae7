import forge from 'node-forge'

/** DER (ITU-T X.690), by node-forge: what is written here is read by everybody, what is read here is anybody's. */
export type Asn1 = forge.asn1.Asn1

const { asn1 } = forge
const { Class, Type } = asn1
/** Keeps a nested input from becoming a deep recursion. */
const MAX_DEPTH = 32
const CONSTRUCTED = 0x20

// The types of node-forge do not know of the options.
const parse = asn1.fromDer as unknown as (bytes: string, options: Record<string, unknown>) => Asn1

export function toDer(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'latin1')
}

/**
 * Reads exactly one value, and only its one distinguished encoding.
 *
 * @throws {Error} without a quotation of the input
 */
export function fromDer(bytes: Uint8Array): Asn1 {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const value = parse(text, {
    strict: true,
    parseAllBytes: true,
    decodeBitStrings: false,
    maxDepth: MAX_DEPTH,
  })
  if (asn1.toDer(value).getBytes() !== text) throw new Error('not DER')
  return value
}

export function sequence(...parts: readonly Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, [...parts])
}

/** A sequence of values that are encoded already: a long list is not built as objects again and again. */
export function sequenceOfEncoded(parts: readonly string[]): Asn1 {
  // A primitive value is written as it is; its type is where the bit for "constructed" goes.
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE | CONSTRUCTED, false, parts.join(''))
}

export function encoded(value: Asn1): string {
  return asn1.toDer(value).getBytes()
}

export function set(...parts: readonly Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, [...parts])
}

export function oid(dotted: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes())
}

/** A non-negative integer from its hexadecimal digits. */
export function integerFromHex(hex: string): Asn1 {
  const even = hex.length % 2 === 0 ? hex : `0${hex}`
  const bytes = Buffer.from(/^[89a-f]/i.test(even) ? `00${even}` : even, 'hex').toString('latin1')
  return asn1.create(Class.UNIVERSAL, Type.INTEGER, false, bytes)
}

export function integer(value: number): Asn1 {
  return integerFromHex(value.toString(16))
}

export function enumerated(value: number): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.ENUMERATED, false, String.fromCharCode(value))
}

export function boolean(value: boolean): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, value ? '\xff' : '\x00')
}

export function nothing(): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.NULL, false, '')
}

export function utf8(text: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.UTF8, false, forge.util.encodeUtf8(text))
}

export function octetString(bytes: Uint8Array): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, Buffer.from(bytes).toString('latin1'))
}

/** @param unusedBits how many bits of the last byte do not count */
export function bitString(bytes: Uint8Array, unusedBits = 0): Asn1 {
  const content = String.fromCharCode(unusedBits) + Buffer.from(bytes).toString('latin1')
  return asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, content)
}

/** `[tag]` around other values. */
export function tagged(tag: number, ...parts: readonly Asn1[]): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, true, [...parts])
}

/** `[tag] IMPLICIT` of a primitive type. */
export function taggedBytes(tag: number, bytes: Uint8Array): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, false, Buffer.from(bytes).toString('latin1'))
}

const FIRST_YEAR_OF_GENERALIZED_TIME = 2050

/** `Time`: seconds, UTC. https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5 */
export function time(moment: Date): Asn1 {
  if (moment.getUTCFullYear() >= FIRST_YEAR_OF_GENERALIZED_TIME) return generalizedTime(moment)
  return asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(moment))
}

export function generalizedTime(moment: Date): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(moment))
}
