import { createPrivateKey, type KeyObject } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { AdapterError } from '../../broker/adapter.ts'
import type { Secret } from '../../broker/secret.ts'

export interface PrivateKeyFile {
  readonly keyFile: string
  readonly passphrase?: Secret<string> | undefined
}

/** @throws {AdapterError} with what is wrong with it, and nothing of what it holds */
export function readPrivateKey({ keyFile, passphrase }: PrivateKeyFile): KeyObject {
  const text = readPrivateText(keyFile)
  try {
    return createPrivateKey(passphrase === undefined ? text : { key: text, passphrase: passphrase.reveal() })
  } catch {
    if (!text.includes('ENCRYPTED')) throw fileError(keyFile, 'holds no private key in PEM that can be read')
    throw fileError(
      keyFile,
      passphrase === undefined
        ? 'is encrypted: name its passphrase'
        : 'cannot be opened with this passphrase',
    )
  }
}

/** The file that was opened is the one whose mode is looked at. */
function readPrivateText(file: string): string {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch {
    throw fileError(file, 'cannot be read')
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw fileError(file, 'is not a file')
    if (isOpenToOthers(stats, process.getuid?.()))
      throw fileError(file, `is open to other users (mode ${(stats.mode & 0o777).toString(8)}): chmod 600`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Ours alone; or root's, with our group let in, as secrets are mounted into containers.
 *
 * @param self who we are; undefined on Windows, where there are no such bits
 */
export function isOpenToOthers(
  file: { readonly mode: number; readonly uid: number },
  self?: number,
): boolean {
  if (self === undefined) return false
  const forbidden = file.uid === 0 && self !== 0 ? 0o037 : 0o077
  return (file.mode & forbidden) !== 0
}

export function fileError(file: string, what: string): AdapterError {
  return new AdapterError('failed', `${file} ${what}`, { settled: true })
}
