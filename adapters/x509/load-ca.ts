import { X509Certificate, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Secret } from '../../broker/secret.ts'
import { caOf, isSelfIssued, type Ca } from './ca.ts'
import { certificateParts, type Extension } from './certificate-parts.ts'
import { KEY_USAGE, type KeyUsage } from './extensions.ts'
import { fileError, readPrivateKey, type PrivateKeyFile } from './key-file.ts'
import { OID } from './oids.ts'

export interface KeyFiles extends PrivateKeyFile {
  readonly certFile: string
}

export interface CaFiles {
  readonly certFile: string
  readonly keyFile?: string | undefined
  readonly passphrase?: Secret<string> | undefined
  readonly ocsp?: KeyFiles | undefined
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const MAX_CHAIN = 8

/**
 * Reads a certification authority: its certificate with those above it, and its key.
 *
 * @throws {AdapterError} with what is wrong with which file, and nothing of what a key file holds
 */
export function loadCa({ certFile, keyFile, passphrase, ocsp }: CaFiles): Ca {
  const chain = readChain(certFile)
  const [certificate] = chain
  requireAuthority(certificate, certFile)
  const key = keyFile === undefined ? undefined : readKey({ certFile, keyFile, passphrase }, certificate)
  const responder = ocsp === undefined ? undefined : readResponder(ocsp, certificate)
  // A key of a kind that we do not sign with, or a certificate that OpenSSL reads and that is not in DER.
  try {
    return caOf({ chain, key, responder })
  } catch (error) {
    throw fileError(certFile, error instanceof Error ? error.message : 'cannot be used')
  }
}

function readChain(file: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = readText(file).match(PEM_CERTIFICATE) ?? []
  if (blocks.length > MAX_CHAIN) throw fileError(file, `holds more than ${MAX_CHAIN} certificates`)
  const [first, ...above] = blocks.map((block) => parseCertificate(file, block))
  if (first === undefined) throw fileError(file, 'holds no PEM certificate')
  let lower = first
  for (const upper of above) {
    if (!upper.ca || !lower.checkIssued(upper) || !lower.verify(upper.publicKey))
      throw fileError(file, 'must hold the authority first, and then whoever issued the one before')
    lower = upper
  }
  return [first, ...above]
}

function parseCertificate(file: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch {
    throw fileError(file, 'holds a certificate that cannot be read')
  }
}

function requireAuthority(certificate: X509Certificate, file: string): void {
  if (!certificate.ca) throw fileError(file, 'is not the certificate of an authority (CA:TRUE)')
  if (!mayBeUsedFor(certificate, ['keyCertSign', 'cRLSign'], file))
    throw fileError(file, 'must be allowed to sign certificates and revocation lists (keyCertSign, cRLSign)')
  if (isSelfIssued(certificate) && !certificate.verify(certificate.publicKey))
    throw fileError(file, 'is not signed by its own key')
}

function mayBeUsedFor(certificate: X509Certificate, usages: readonly KeyUsage[], file: string): boolean {
  let extension: Extension | undefined
  try {
    extension = certificateParts(certificate.raw).extensions.get(OID.keyUsage)
  } catch {
    throw fileError(file, 'holds a certificate that cannot be read')
  }
  // BIT STRING: tag, length, unused bits, then the first byte of bits.
  const bits = extension?.value[3] ?? 0
  return extension === undefined || usages.every((usage) => (bits & (0x80 >> KEY_USAGE[usage])) !== 0)
}

function readResponder(
  files: KeyFiles,
  ca: X509Certificate,
): { certificate: X509Certificate; key: KeyObject } {
  const certificate = parseCertificate(files.certFile, readText(files.certFile))
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey))
    throw fileError(files.certFile, 'is not issued by the authority that it answers for')
  if (!certificate.keyUsage?.includes(OID.ocspSigning))
    throw fileError(files.certFile, 'must be allowed to answer for it (extended key usage OCSPSigning)')
  return { certificate, key: readKey(files, certificate) }
}

function readKey(files: KeyFiles, certificate: X509Certificate): KeyObject {
  const key = readPrivateKey(files)
  if (!certificate.checkPrivateKey(key)) throw fileError(files.keyFile, 'is not the key of the certificate')
  return key
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw fileError(file, 'cannot be read')
  }
}
