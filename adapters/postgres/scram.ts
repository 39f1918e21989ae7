import { createHash, createHmac, pbkdf2, pbkdf2Sync, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

const deriveElsewhere = promisify(pbkdf2)
const SALT_BYTES = 16
const KEY_BYTES = 32
/** Up to here (0.3 ms) a trip to the thread pool costs more than it saves. */
const SYNC_ITERATIONS = 1_000

/**
 * What Postgres keeps of a password, computed here so that the password itself never travels in SQL.
 * RFC 5802 §3, in the form of `pg_authid.rolpassword`. The password must be ASCII: it is not normalised.
 */
export async function scramVerifier(password: string, iterations: number): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const derive = iterations > SYNC_ITERATIONS ? deriveElsewhere : pbkdf2Sync
  const salted = await derive(password, salt, iterations, KEY_BYTES, 'sha256')
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64')
  const serverKey = hmac(salted, 'Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
