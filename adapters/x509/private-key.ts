import { generateKeyPair, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { KeyType } from './settings.ts'

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

const generate = promisify(generateKeyPair)

/**
 * Makes a key pair. RSA takes long, and does so beside this thread; the others are made at once. Do not export such a
 * key as JWK: Node.js 20 holds its lock meanwhile, and waits for it for ever if the job that made it is collected then.
 */
export async function makeKeyPair(type: KeyType): Promise<KeyPair> {
  switch (type) {
    case 'ec-p256':
      return generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    case 'ec-p384':
      return generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
    case 'ed25519':
      return generateKeyPairSync('ed25519')
    case 'rsa-2048':
      return generate('rsa', { modulusLength: 2048 })
    case 'rsa-3072':
      return generate('rsa', { modulusLength: 3072 })
    case 'rsa-4096':
      return generate('rsa', { modulusLength: 4096 })
  }
}
