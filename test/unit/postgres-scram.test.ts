import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { expect, it } from 'vitest'
import { scramVerifier } from '../../adapters/postgres/scram.ts'

it.each([1, 1_000, 1_001, 4_096])(
  'verifiers are what a server derives from the password: %i iterations',
  async (n) => {
    const verifier = await scramVerifier('pencil', n)
    const parts = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)$/.exec(verifier)
    expect(parts?.[1]).toBe(String(n))
    const salted = pbkdf2Sync('pencil', Buffer.from(parts?.[2] ?? '', 'base64'), n, 32, 'sha256')
    const clientKey = createHmac('sha256', salted).update('Client Key').digest()
    expect(parts?.[3]).toBe(createHash('sha256').update(clientKey).digest('base64'))
    expect(parts?.[4]).toBe(createHmac('sha256', salted).update('Server Key').digest('base64'))
  },
)

it('two verifiers of one password differ', async () => {
  expect(await scramVerifier('pencil', 1)).not.toBe(await scramVerifier('pencil', 1))
})
