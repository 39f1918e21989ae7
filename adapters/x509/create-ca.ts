import { generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { AdapterError } from '../../broker/adapter.ts'
import { distinguishedName, keyIdentifierOf, signed } from './certificate.ts'
import { fromDer, integer, integerFromHex, sequence, tagged, time } from './der.ts'
import { basicConstraints, keyUsage, subjectKeyIdentifier } from './extensions.ts'
import type { CaFiles } from './load-ca.ts'
import { randomSerial } from './serial.ts'
import { signerOf } from './signature.ts'

const VERSION_3 = 2
const LIFETIME_YEARS = 10
const BACKDATE_MS = 60_000

/**
 * The files of an authority in this folder, made when there is none. Of several processes that start at once one wins,
 * and all use its key: certificate and key appear together, whole, and once.
 *
 * @throws {AdapterError} if the folder cannot be written
 */
export function caInFolder(path: string, organization: string): CaFiles {
  // Without a slash at its end: the draft lies beside the folder.
  const folder = resolve(path)
  const files = filesIn(folder)
  try {
    if (!existsSync(files.certFile)) create(folder, organization)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'it failed'
    const message = `no authority can be made in ${folder}: ${code}`
    throw new AdapterError('failed', message, { settled: true, cause: error })
  }
  return files
}

function filesIn(folder: string): { certFile: string; keyFile: string } {
  return { certFile: join(folder, 'ca.pem'), keyFile: join(folder, 'ca.key') }
}

function create(folder: string, organization: string): void {
  const draft = `${folder}.${randomUUID()}`
  mkdirSync(draft, { recursive: true, mode: 0o700 })
  try {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const files = filesIn(draft)
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
    writeFileSync(files.keyFile, key, { mode: 0o600, flag: 'wx', flush: true })
    writeFileSync(files.certFile, selfSigned(privateKey, publicKey, organization), {
      flag: 'wx',
      flush: true,
    })
    renameSync(draft, folder)
  } catch (error) {
    // Somebody else was first: a folder that holds something is never replaced.
    if (!existsSync(filesIn(folder).certFile)) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function selfSigned(privateKey: KeyObject, publicKey: KeyObject, organization: string): string {
  const signer = signerOf(privateKey)
  const spki = fromDer(publicKey.export({ type: 'spki', format: 'der' }))
  const serial = randomSerial()
  const name = distinguishedName({ organization, commonName: `taskgrant ${serial.slice(0, 8)}` })
  const notBefore = new Date(Date.now() - BACKDATE_MS)
  const notAfter = new Date(notBefore)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + LIFETIME_YEARS)
  const extensions = [
    basicConstraints(true),
    keyUsage(['keyCertSign', 'cRLSign']),
    subjectKeyIdentifier(keyIdentifierOf(spki)),
  ]
  const tbs = sequence(
    tagged(0, integer(VERSION_3)),
    integerFromHex(serial),
    signer.algorithm,
    name,
    sequence(time(notBefore), time(notAfter)),
    name,
    spki,
    tagged(3, sequence(...extensions)),
  )
  const lines =
    signed(tbs, signer)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
