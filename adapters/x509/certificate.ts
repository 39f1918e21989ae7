import { createHash, X509Certificate } from 'node:crypto'
import { AdapterError } from '../../broker/adapter.ts'
import type { Ca } from './ca.ts'
import {
  type Asn1,
  bitString,
  fromDer,
  integer,
  integerFromHex,
  oid,
  sequence,
  set,
  tagged,
  time,
  toDer,
  utf8,
} from './der.ts'
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  crlDistributionPoint,
  extendedKeyUsage,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from './extensions.ts'
import { OID } from './oids.ts'
import type { Profile } from './profile.ts'
import { readBits, readSequence } from './read-der.ts'
import type { Signer } from './signature.ts'
import { requireAsIntended } from './verify-certificate.ts'

const VERSION_3 = 2
const PURPOSE = { client: OID.clientAuth, server: OID.serverAuth } as const

/**
 * Signs a certificate, reads back what was signed, and gives it only if it says what it was to say.
 * https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 *
 * @throws {AdapterError} if this authority signs nothing, or if the result is not as intended
 */
export function signCertificate(ca: Ca, profile: Profile): X509Certificate {
  if (ca.signer === undefined)
    throw new AdapterError('failed', 'this authority has no key here', { settled: true })
  const spki = fromDer(profile.publicKey.export({ type: 'spki', format: 'der' }))
  const tbs = sequence(
    tagged(0, integer(VERSION_3)),
    integerFromHex(profile.serial),
    ca.signer.algorithm,
    ca.name,
    sequence(time(profile.notBefore), time(profile.notAfter)),
    distinguishedName({ organization: profile.organization, commonName: profile.commonName }),
    spki,
    tagged(3, sequence(...extensionsOf(ca, profile, spki))),
  )
  const certificate = new X509Certificate(signed(tbs, ca.signer))
  requireAsIntended(certificate, profile, ca)
  return certificate
}

/** `SIGNED{…}`: what is to be signed, how, the signature, and what may follow it. */
export function signed(tbs: Asn1, signer: Signer, ...following: readonly Asn1[]): Buffer {
  return toDer(sequence(tbs, signer.algorithm, bitString(signer.sign(toDer(tbs))), ...following))
}

export function distinguishedName(name: {
  readonly organization: string
  readonly commonName: string
}): Asn1 {
  return sequence(
    set(sequence(oid(OID.organizationName), utf8(name.organization))),
    set(sequence(oid(OID.commonName), utf8(name.commonName))),
  )
}

/** Leftmost 160 bits of SHA-256 of the key. https://www.rfc-editor.org/rfc/rfc7093#section-2 */
export function keyIdentifierOf(spki: Asn1): Buffer {
  return createHash('sha256')
    .update(readBits(readSequence(spki)[1]))
    .digest()
    .subarray(0, 20)
}

function extensionsOf(ca: Ca, profile: Profile, spki: Asn1): Asn1[] {
  const { publicKey, spiffeId, dnsNames, usages, locations } = profile
  // An RSA key may also be what a secret is encrypted to, in TLS 1.2 and before.
  const keyUsages = publicKey.asymmetricKeyType === 'rsa' ? (['keyEncipherment'] as const) : []
  return [
    basicConstraints(false),
    keyUsage(['digitalSignature', ...keyUsages]),
    extendedKeyUsage(usages.map((usage) => PURPOSE[usage])),
    subjectKeyIdentifier(keyIdentifierOf(spki)),
    authorityKeyIdentifier(ca.keyIdentifier),
    subjectAltName({ uri: spiffeId, dns: dnsNames }),
    ...(locations === undefined ? [] : [crlDistributionPoint(locations.crl), authorityInfoAccess(locations)]),
  ]
}
