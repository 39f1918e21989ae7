import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { AdapterError } from '../../broker/adapter.ts'
import type { Secret } from '../../broker/secret.ts'
import { caOf, isSelfIssued, type Ca } from './ca.ts'
import { certificateParts } from './certificate-parts.ts'
import { KEY_USAGE, type KeyUsage } from './extensions.ts'
import { OID } from './oids.ts'

export interface KeyFiles {
  readonly certFile: string
  readonly keyFile: string
  readonly passphrase?: Secret<string> | undefined
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
  try {
    return caOf({ chain, key, responder })
  } catch (error) {
    throw wrong(certFile, error instanceof Error ? error.message : 'cannot be used')
  }
}

function readChain(file: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = readText(file).match(PEM_CERTIFICATE) ?? []
  if (blocks.length > MAX_CHAIN) throw wrong(file, `holds more than ${MAX_CHAIN} certificates`)
  const [first, ...above] = blocks.map((block) => parseCertificate(file, block))
  if (first === undefined) throw wrong(file, 'holds no PEM certificate')
  let lower = first
  for (const upper of above) {
    if (!lower.checkIssued(upper) || !lower.verify(upper.publicKey))
      throw wrong(file, 'must hold the authority first, and then whoever issued the one before')
    lower = upper
  }
  return [first, ...above]
}

function parseCertificate(file: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch {
    throw wrong(file, 'holds a certificate that cannot be read')
  }
}

function requireAuthority(certificate: X509Certificate, file: string): void {
  if (!certificate.ca) throw wrong(file, 'is not the certificate of an authority (CA:TRUE)')
  if (!mayBeUsedFor(certificate, ['keyCertSign', 'cRLSign']))
    throw wrong(file, 'must be allowed to sign certificates and revocation lists (keyCertSign, cRLSign)')
  if (isSelfIssued(certificate) && !certificate.verify(certificate.publicKey))
    throw wrong(file, 'is not signed by its own key')
}

function mayBeUsedFor(certificate: X509Certificate, usages: readonly KeyUsage[]): boolean {
  const extension = certificateParts(certificate.raw).extensions.get(OID.keyUsage)
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
    throw wrong(files.certFile, 'is not issued by the authority that it answers for')
  if (!certificate.keyUsage?.includes(OID.ocspSigning))
    throw wrong(files.certFile, 'must be allowed to answer for it (extended key usage OCSPSigning)')
  return { certificate, key: readKey(files, certificate) }
}

function readKey({ keyFile, passphrase }: KeyFiles, certificate: X509Certificate): KeyObject {
  const text = readPrivateText(keyFile)
  let key: KeyObject
  try {
    key = createPrivateKey(passphrase === undefined ? text : { key: text, passphrase: passphrase.reveal() })
  } catch {
    const encrypted = text.includes('ENCRYPTED')
    throw wrong(
      keyFile,
      encrypted ? 'cannot be opened with this passphrase' : 'holds no private key in PEM that can be read',
    )
  }
  if (!certificate.checkPrivateKey(key)) throw wrong(keyFile, 'is not the key of the certificate')
  return key
}

/** The file that was opened is the one whose mode is looked at. */
function readPrivateText(file: string): string {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch {
    throw wrong(file, 'cannot be read')
  }
  try {
    const { mode, uid } = fstatSync(descriptor)
    if (isOpenToOthers(mode, uid))
      throw wrong(file, `is open to other users (mode ${(mode & 0o777).toString(8)}): chmod 600`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** Ours alone; or root's, with our group let in, as secrets are mounted into containers. */
function isOpenToOthers(mode: number, uid: number): boolean {
  // Windows has no such bits.
  if (process.platform === 'win32') return false
  const forbidden = uid === 0 && process.getuid?.() !== 0 ? 0o037 : 0o077
  return (mode & forbidden) !== 0
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw wrong(file, 'cannot be read')
  }
}

function wrong(file: string, what: string): AdapterError {
  return new AdapterError('failed', `${file} ${what}`, { settled: true })
}
