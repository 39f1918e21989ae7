import { readFile, stat } from 'node:fs/promises'
import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import type { IssuerSettings } from './issuer-config.ts'

const LOOK_AGAIN_MS = 1_000
const REMOTE = { timeoutDuration: 5_000, cooldownDuration: 30_000, cacheMaxAge: 600_000 }

/** Where the public keys of an issuer come from. */
export function keysOf(settings: IssuerSettings): JWTVerifyGetKey {
  if (settings.jwksUri !== undefined) return remoteKeys(new URL(settings.jwksUri))
  if (settings.jwksFile !== undefined) return fileKeys(settings.jwksFile)
  return createLocalJWKSet(toKeySet(settings.jwks))
}

/** Fetched when a key is unknown, at most every 30 s. While the issuer is away, the keys known before still count. */
function remoteKeys(url: URL): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(url, REMOTE)
  return async (header, token) => {
    const known = remote.jwks()
    try {
      return await remote(header, token)
    } catch (error) {
      if (known === undefined) throw error
      return createLocalJWKSet(known)(header, token)
    }
  }
}

/** Read again when the file has changed; a broken file leaves the keys as they were. */
function fileKeys(path: string): JWTVerifyGetKey {
  let keys: JWTVerifyGetKey | undefined
  let modifiedMs = 0
  let lookedMs = 0
  const refresh = async (): Promise<void> => {
    const modified = (await stat(path)).mtimeMs
    if (modified === modifiedMs) return
    keys = createLocalJWKSet(toKeySet(JSON.parse(await readFile(path, 'utf8'))))
    modifiedMs = modified
  }
  return async (header, token) => {
    if (Date.now() - lookedMs >= LOOK_AGAIN_MS) {
      lookedMs = Date.now()
      await refresh().catch((error: unknown) => {
        if (keys === undefined) throw error
      })
    }
    if (keys === undefined) throw new Error('no keys yet')
    return keys(header, token)
  }
}

function toKeySet(value: unknown): JSONWebKeySet {
  // jose checks the form of a key set and of every key that it uses.
  return value as JSONWebKeySet
}
