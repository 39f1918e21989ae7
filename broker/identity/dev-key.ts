import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey } from 'jose'
import { z } from 'zod'
import { StartupError } from '../errors.ts'

const privateJwk = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  d: z.string(),
})

export interface DevKey {
  readonly kid: string
  readonly privateKey: CryptoKey
  /** Where the public half is kept. */
  readonly jwksFile: string
}

/** The signing key in this folder, made on first use; processes that start at once end with the same one. */
export async function loadOrCreateDevKey(home: string): Promise<DevKey> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  const keyFile = join(home, 'dev-issuer.jwk')
  const text = (await readPrivate(keyFile)) ?? (await create(keyFile))
  const { kid, privateKey, publicJwk } = await parse(keyFile, text)
  const jwksFile = join(home, 'dev-jwks.json')
  await writeWhole(jwksFile, `${JSON.stringify({ keys: [publicJwk] }, null, 2)}\n`)
  return { kid, privateKey, jwksFile }
}

/** Undefined if there is none. The file that was opened is the one whose mode is looked at. */
async function readPrivate(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new StartupError(`${path} cannot be read: ${error.code}`)
  })
  if (file === undefined) return undefined
  try {
    const { mode } = await file.stat()
    // Windows has no such bits: Node reports 0o666 for every file that can be written.
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new StartupError(
        `${path} is open to other users: delete it, and a new key is made on the next start`,
      )
    }
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/** A link is made at once and only if there is none yet: of several processes one wins, and all read its key. */
async function create(path: string): Promise<string> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, JSON.stringify(await exportJWK(privateKey)), {
    mode: 0o600,
    flag: 'wx',
    flush: true,
  })
  try {
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(draft)
  }
  const text = await readPrivate(path)
  if (text === undefined) throw new StartupError(`${path} vanished while it was made`)
  return text
}

async function parse(
  path: string,
  text: string,
): Promise<{ kid: string; privateKey: CryptoKey; publicJwk: Record<string, string> }> {
  try {
    const jwk = privateJwk.parse(JSON.parse(text))
    const { d: _secret, ...coordinates } = jwk
    const kid = await calculateJwkThumbprint(coordinates)
    const privateKey = await importJWK(jwk, 'ES256')
    if (privateKey instanceof Uint8Array) throw new TypeError('expected an asymmetric key')
    return { kid, privateKey, publicJwk: { ...coordinates, kid, alg: 'ES256', use: 'sig' } }
  } catch {
    // Without its cause: V8 quotes what it could not parse.
    throw new StartupError(
      `${path} is not a private P-256 key: delete it, and a new one is made on the next start`,
    )
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, text, { mode: 0o644, flag: 'wx' })
  await rename(draft, path)
}
