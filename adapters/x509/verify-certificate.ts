import type { X509Certificate } from 'node:crypto'
import { AdapterError } from '../../broker/adapter.ts'
import type { Ca } from './ca.ts'
import { certificateParts, type Extension } from './certificate-parts.ts'
import { OID } from './oids.ts'
import type { Profile } from './profile.ts'

const PURPOSE = { client: OID.clientAuth, server: OID.serverAuth } as const
const CRITICAL: readonly string[] = [OID.basicConstraints, OID.keyUsage]
const ALWAYS = [
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  OID.subjectKeyIdentifier,
  OID.authorityKeyIdentifier,
  OID.subjectAltName,
]
/** An empty sequence. */
const NO_CA = '3000'
/** `digitalSignature`, for RSA keys `keyEncipherment` too, as BIT STRING. */
const KEY_USAGE = { rsa: '030205a0', other: '03020780' } as const
const WITH_LOCATIONS = [OID.crlDistributionPoints, OID.authorityInfoAccess]

/**
 * Reads a signed certificate with the eyes of those who will be shown it (OpenSSL's, in node:crypto) and compares it
 * with the intent.
 *
 * @throws {AdapterError} naming what differs
 */
export function requireAsIntended(certificate: X509Certificate, profile: Profile, ca: Ca): void {
  const different = Object.entries(comparisons(certificate, profile, ca)).find(([, isSame]) => !isSame)
  if (different === undefined) return
  const message = `the signed certificate is not as intended: ${different[0]}`
  throw new AdapterError('failed', message, { settled: true })
}

function comparisons(certificate: X509Certificate, profile: Profile, ca: Ca): Record<string, boolean> {
  const { extensions } = certificateParts(certificate.raw)
  const { subject } = certificate.toLegacyObject()
  const { locations } = profile
  const expected = locations === undefined ? ALWAYS : [...ALWAYS, ...WITH_LOCATIONS]
  const kind = profile.publicKey.asymmetricKeyType === 'rsa' ? 'rsa' : 'other'
  const names = [`URI:${profile.spiffeId}`, ...profile.dnsNames.map((name) => `DNS:${name}`)]
  return {
    'its signature': certificate.verify(ca.certificate.publicKey),
    'its issuer': certificate.checkIssued(ca.certificate),
    'its serial': certificate.serialNumber.toLowerCase() === profile.serial,
    // Not certificate.subject, which escapes some characters.
    'its subject':
      subject.O === profile.organization &&
      subject.CN === profile.commonName &&
      Object.keys(subject).length === 2,
    'its start': timeOf(certificate.validFrom) === wholeSeconds(profile.notBefore),
    'its end': timeOf(certificate.validTo) === wholeSeconds(profile.notAfter),
    'a life within its authority':
      profile.notBefore.getTime() >= timeOf(ca.certificate.validFrom) &&
      profile.notBefore < profile.notAfter &&
      profile.notAfter.getTime() <= timeOf(ca.certificate.validTo),
    'its key': certificate.publicKey.equals(profile.publicKey),
    // OpenSSL alone also looks at the key usages, and others may not.
    'its being no authority':
      !certificate.ca && extensions.get(OID.basicConstraints)?.value.toString('hex') === NO_CA,
    'its names': certificate.subjectAltName === names.join(', '),
    'its key usages': extensions.get(OID.keyUsage)?.value.toString('hex') === KEY_USAGE[kind],
    'its purposes': same(
      certificate.keyUsage,
      profile.usages.map((usage) => PURPOSE[usage]),
    ),
    'its extensions': same([...extensions.keys()], expected),
    'its critical extensions': [...extensions].every(
      ([id, { critical }]) => critical === CRITICAL.includes(id),
    ),
    'where to ask about it':
      locations === undefined ||
      (hasText(extensions.get(OID.crlDistributionPoints), locations.crl) &&
        hasText(extensions.get(OID.authorityInfoAccess), locations.ocsp) &&
        hasText(extensions.get(OID.authorityInfoAccess), locations.caIssuers)),
  }
}

/** As node:crypto writes it: `Nov 24 21:40:35 2026 GMT`. */
function timeOf(text: string): number {
  return Date.parse(text)
}

function wholeSeconds(moment: Date): number {
  return Math.floor(moment.getTime() / 1000) * 1000
}

function hasText(extension: Extension | undefined, text: string): boolean {
  return extension?.value.includes(text) ?? false
}

function same(found: readonly string[] | undefined, expected: readonly string[]): boolean {
  return found?.length === expected.length && expected.every((one) => found.includes(one))
}
