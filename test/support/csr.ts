import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { distinguishedName } from '../../adapters/x509/certificate.ts'
import {
  bitString,
  fromDer,
  integer,
  nothing,
  oid,
  sequence,
  tagged,
  toDer,
  type Asn1,
} from '../../adapters/x509/der.ts'
import { OID } from '../../adapters/x509/oids.ts'
import { pemOf } from './crl.ts'

export interface Keys {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export interface CsrAlgorithm {
  readonly id: string
  readonly hash: string | null
  readonly parameters?: Asn1[]
}

export interface CsrWish {
  readonly keys?: Keys
  /** Left out: ECDSA with SHA-256. */
  readonly algorithm?: CsrAlgorithm
  readonly version?: Asn1
  readonly subject?: Asn1
  readonly publicKeyInfo?: Asn1
  readonly attributes?: Asn1[]
  /** What else the signed part holds, and what follows the signature. */
  readonly surplus?: { readonly info?: Asn1[]; readonly request?: Asn1[] }
  /** Left out: made with the key. */
  readonly signature?: Asn1
}

export const RSA_SHA256: CsrAlgorithm = { id: OID.rsaWithSha256, hash: 'sha256', parameters: [nothing()] }
export const ED25519: CsrAlgorithm = { id: OID.ed25519, hash: null }
const ECDSA_SHA256: CsrAlgorithm = { id: OID.ecdsaWithSha256, hash: 'sha256' }

export function ecKeys(namedCurve = 'prime256v1'): Keys {
  return generateKeyPairSync('ec', { namedCurve })
}

export function rsaKeys(modulusLength = 2048, publicExponent = 65_537): Keys {
  return generateKeyPairSync('rsa', { modulusLength, publicExponent })
}

export function spkiOf({ publicKey }: Keys): Asn1 {
  return fromDer(publicKey.export({ type: 'spki', format: 'der' }))
}

/** A request in DER, as a caller makes it or as one would who means harm. */
export function makeCsr(wish: CsrWish = {}): Buffer {
  const { keys = ecKeys(), algorithm = ECDSA_SHA256, surplus = {} } = wish
  const info = sequence(
    wish.version ?? integer(0),
    wish.subject ?? distinguishedName({ organization: 'agents', commonName: 'agent' }),
    wish.publicKeyInfo ?? spkiOf(keys),
    ...(wish.attributes ?? [tagged(0)]),
    ...(surplus.info ?? []),
  )
  const signature = wish.signature ?? bitString(sign(algorithm.hash, toDer(info), keys.privateKey))
  const identifier = sequence(oid(algorithm.id), ...(algorithm.parameters ?? []))
  return toDer(sequence(info, identifier, signature, ...(surplus.request ?? [])))
}

export function csrPem(der: Uint8Array, label = 'CERTIFICATE REQUEST'): string {
  return pemOf(label, der)
}
