import { createHash, type KeyObject, type X509Certificate } from 'node:crypto'
import { certificateParts } from './certificate-parts.ts'
import { fromDer, type Asn1 } from './der.ts'
import { OID } from './oids.ts'
import { readOctets } from './read-der.ts'
import { signerOf, type Signer } from './signature.ts'

/** A certificate with the private key that belongs to it. */
export interface SigningIdentity {
  readonly certificate: X509Certificate
  readonly signer: Signer
  /** SHA-1 of the public key: how OCSP names whoever signs. https://www.rfc-editor.org/rfc/rfc6960#section-4.2.1 */
  readonly keyHash: Buffer
}

/** A certification authority as this process knows it. */
export interface Ca {
  /** Names its key: the first 16 bytes of SHA-256 of its SubjectPublicKeyInfo, in hexadecimal. */
  readonly id: string
  readonly certificate: X509Certificate
  /** What it is called, as certificates repeat it. */
  readonly name: Asn1
  readonly keyIdentifier: Buffer
  readonly publicKeyBits: Buffer
  /** Certificates between it and the root, itself included if it is no root: what a client sends along. */
  readonly intermediates: readonly X509Certificate[]
  /** The root, or the topmost certificate that is known. */
  readonly root: X509Certificate
  /** When it and all those above it are valid. */
  readonly validFrom: Date
  readonly validTo: Date
  /** Undefined: it is only accepted, and signs nothing. */
  readonly signer: Signer | undefined
  /** Who signs OCSP answers: a delegate, or the authority itself. */
  readonly responder: SigningIdentity | undefined
}

export interface CaMaterial {
  /** The authority's own certificate, then those above it. */
  readonly chain: readonly [X509Certificate, ...X509Certificate[]]
  readonly key: KeyObject | undefined
  readonly responder: { readonly certificate: X509Certificate; readonly key: KeyObject } | undefined
}

/** @throws {Error} if a certificate cannot be taken apart or a key is of a kind that we do not sign with */
export function caOf({ chain, key, responder }: CaMaterial): Ca {
  const [certificate] = chain
  const { subject, publicKeyBits, extensions } = certificateParts(certificate.raw)
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' })
  const keyHash = createHash('sha1').update(publicKeyBits).digest()
  const identifier = extensions.get(OID.subjectKeyIdentifier)
  const signer = key === undefined ? undefined : signerOf(key)
  const root = chain.at(-1) ?? certificate
  return {
    id: createHash('sha256').update(spki).digest('hex').slice(0, 32),
    certificate,
    name: subject,
    keyIdentifier: identifier === undefined ? keyHash : readOctets(fromDer(identifier.value)),
    publicKeyBits,
    intermediates: chain.filter((one) => !isSelfIssued(one)),
    root,
    validFrom: new Date(Math.max(...chain.map((one) => Date.parse(one.validFrom)))),
    validTo: new Date(Math.min(...chain.map((one) => Date.parse(one.validTo)))),
    signer,
    responder:
      responder === undefined
        ? signer && { certificate, signer, keyHash }
        : identityOf(responder.certificate, responder.key),
  }
}

function identityOf(certificate: X509Certificate, key: KeyObject): SigningIdentity {
  const { publicKeyBits } = certificateParts(certificate.raw)
  return { certificate, signer: signerOf(key), keyHash: createHash('sha1').update(publicKeyBits).digest() }
}

export function isSelfIssued(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate)
}

export function pem(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString()).join('')
}
