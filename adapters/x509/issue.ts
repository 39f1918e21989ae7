import { randomBytes, type KeyObject, type X509Certificate } from 'node:crypto'
import { AdapterError, type Credential, type GrantRequest, type Issued } from '../../broker/adapter.ts'
import { Secret } from '../../broker/secret.ts'
import { pem, type Ca } from './ca.ts'
import { signCertificate } from './certificate.ts'
import type { Handle } from './handle.ts'
import { readParams } from './params.ts'
import { pkcs12 } from './pkcs12.ts'
import { makeKeyPair } from './private-key.ts'
import type { Locations } from './profile.ts'
import { randomSerial } from './serial.ts'
import type { Access } from './settings.ts'
import { spiffeIdOf } from './spiffe-id.ts'
import { requireValid } from './validity.ts'

/** How far back certificates and lists start, for verifiers whose clock is behind. */
export const BACKDATE_MS = 10_000

/** What all certificates of a resource have in common. */
export interface Issuing {
  readonly ca: Ca
  readonly resource: string
  readonly trustDomain: string
  readonly organization: string
  readonly locations: Locations | undefined
  /** PEM of every root that verifiers of this resource go by. */
  readonly roots: string
}

/**
 * Makes a certificate, and a key for it unless the caller brought one. Touches nothing outside this process.
 *
 * @throws {AdapterError} if it would not be valid at any time
 */
export async function issueCertificate(
  issuing: Issuing,
  grant: GrantRequest,
  access: Access,
): Promise<Issued> {
  const { ca, resource, trustDomain, organization, locations } = issuing
  const params = readParams(grant.params)
  const pair =
    params.publicKey === undefined ? await makeKeyPair(access.keyType) : { publicKey: params.publicKey }
  // Making a key may have taken a while.
  const { notBefore, notAfter } = lifeOf(grant.expiresAt, ca)
  const spiffeId = spiffeIdOf(trustDomain, { taskId: grant.taskId, resource, access: grant.access })
  const serial = randomSerial()
  const certificate = signCertificate(ca, {
    serial,
    commonName: grant.grantId,
    organization,
    notBefore,
    notAfter,
    publicKey: pair.publicKey,
    spiffeId,
    dnsNames: params.dnsNames,
    usages: access.usages,
    locations,
  })
  const expiresAt = notAfter.toISOString()
  const handle = { authority: ca.id, subject: grant.grantId, serial, spiffeId, expiresAt } satisfies Handle
  const credential: Credential = {
    kind: 'x509',
    certificate: certificate.toString(),
    chain: pem(ca.intermediates),
    ca: issuing.roots,
    serial,
    notAfter: expiresAt,
    spiffeId,
    ...('privateKey' in pair
      ? keyOf(pair.privateKey, [certificate, ...ca.intermediates], params.format)
      : {}),
  }
  return { credential: new Secret(credential), expiresAt: notAfter, handle }
}

/** Whole seconds, never later than asked, and never outside of what is above it. */
function lifeOf(expiresAt: Date, ca: Ca): { notBefore: Date; notAfter: Date } {
  requireValid(ca)
  const now = Date.now()
  const end = Math.min(Math.floor(expiresAt.getTime() / 1000) * 1000, ca.validTo.getTime())
  if (end <= now)
    throw new AdapterError('failed', 'no certificate was made: its time is over already', { settled: true })
  return { notBefore: new Date(Math.max(now - BACKDATE_MS, ca.validFrom.getTime())), notAfter: new Date(end) }
}

function keyOf(
  key: KeyObject,
  certificates: readonly X509Certificate[],
  format: 'pem' | 'pkcs12',
): Record<string, string> {
  if (format === 'pem') return { privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString() }
  const password = randomBytes(24).toString('base64url')
  const file = pkcs12(key, certificates, new Secret(password))
  return { pkcs12: file.toString('base64'), pkcs12Password: password }
}
