import forge from 'node-forge'
import type { Asn1 } from './der.ts'

const { asn1 } = forge
const { Class, Type } = asn1

/** Readers for values that {@link fromDer} gave. Each throws an Error if the value is of another type. */

function primitive(value: Asn1 | undefined, type: forge.asn1.Type, what: string): string {
  const fits = value?.tagClass === Class.UNIVERSAL && value.type === type
  if (!fits || typeof value.value !== 'string') throw new Error(`expected ${what}`)
  return value.value
}

/** The number of a type or tag: for the types of node-forge every one is a type of ASN.1's own. */
function typeOf(value: Asn1): number {
  return value.type
}

function parts(value: Asn1 | undefined, tagClass: forge.asn1.Class, type: number, what: string): Asn1[] {
  const fits = value?.tagClass === tagClass && typeOf(value) === type && value.constructed
  if (!fits || typeof value.value === 'string') throw new Error(`expected ${what}`)
  return value.value
}

export function readSequence(value: Asn1 | undefined): Asn1[] {
  return parts(value, Class.UNIVERSAL, Type.SEQUENCE, 'a sequence')
}

/** What is in `[tag]`. */
export function readTagged(value: Asn1 | undefined, tag: number): Asn1[] {
  return parts(value, Class.CONTEXT_SPECIFIC, tag, `[${tag}]`)
}

export function isTagged(value: Asn1 | undefined, tag: number): boolean {
  return value?.tagClass === Class.CONTEXT_SPECIFIC && typeOf(value) === tag
}

export function isSequence(value: Asn1 | undefined): boolean {
  return value?.tagClass === Class.UNIVERSAL && value.type === Type.SEQUENCE
}

/** Only as it is written in DER: node-forge reads longer forms as well, and overlooks one that is cut short. */
export function readOid(value: Asn1 | undefined): string {
  const content = primitive(value, Type.OID, 'an object identifier')
  const dotted = content === '' ? '' : asn1.derToOid(content)
  if (!/^\d+(\.\d+)+$/.test(dotted) || asn1.oidToDer(dotted).getBytes() !== content)
    throw new Error('expected an object identifier')
  return dotted
}

export function readBoolean(value: Asn1 | undefined): boolean {
  const content = primitive(value, Type.BOOLEAN, 'a boolean')
  if (content !== '\x00' && content !== '\xff') throw new Error('expected a boolean')
  return content === '\xff'
}

export function isNull(value: Asn1 | undefined): boolean {
  return value?.tagClass === Class.UNIVERSAL && value.type === Type.NULL && value.value === ''
}

export function isBoolean(value: Asn1 | undefined): boolean {
  return value?.tagClass === Class.UNIVERSAL && value.type === Type.BOOLEAN
}

/** The digits of a non-negative integer, whole bytes without the sign's: how serials are written throughout. */
export function readIntegerHex(value: Asn1 | undefined): string {
  const content = primitive(value, Type.INTEGER, 'an integer')
  const hex = Buffer.from(content, 'latin1').toString('hex')
  if (hex === '' || /^[89a-f]/.test(hex)) throw new Error('expected an integer that is not negative')
  return hex.replace(/^00(?=.)/, '')
}

export function readOctets(value: Asn1 | undefined): Buffer {
  return Buffer.from(primitive(value, Type.OCTETSTRING, 'an octet string'), 'latin1')
}

/** The bytes of a bit string that is made of whole bytes. */
export function readBits(value: Asn1 | undefined): Buffer {
  const content = Buffer.from(primitive(value, Type.BITSTRING, 'a bit string'), 'latin1')
  if (content[0] !== 0) throw new Error('expected whole bytes')
  return content.subarray(1)
}
