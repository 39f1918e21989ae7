import { expect, test } from 'vitest'
import { publicKeyOfCsr, CsrError } from '../../adapters/x509/csr.ts'
import { paramsOf } from '../../adapters/x509/params.ts'
import { csrPem, ecKeys, makeCsr, RSA_SHA256, rsaKeys } from '../support/csr.ts'
import { mutate, seededRandom } from '../support/mutation.ts'

const SEED = 4711
const ROUNDS = 10_000

/** What became of it; refused is the only good one. */
function outcomeOf(pem: string): string {
  try {
    publicKeyOfCsr(pem)
    return 'accepted'
  } catch (error) {
    return error instanceof CsrError ? 'refused' : `crashed: ${String(error)}`
  }
}

test.each([
  ['P-256', ecKeys(), undefined],
  ['RSA', rsaKeys(), RSA_SHA256],
])('a mutated request of %s is refused, and crashes nothing', (_, keys, algorithm) => {
  const der = makeCsr({ keys, ...(algorithm && { algorithm }) })
  const random = seededRandom(SEED)
  const outcomes = new Set<string>()
  for (let round = 0; round < ROUNDS; round += 1) outcomes.add(outcomeOf(csrPem(mutate(der, random))))
  expect([...outcomes]).toEqual(['refused'])
})

test('mutated text never gets past the parameters with another key, and never crashes them', () => {
  const keys = ecKeys()
  const original = Buffer.from(csrPem(makeCsr({ keys })))
  const own = keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const params = paramsOf([])
  const random = seededRandom(SEED)
  const accepted = new Set<unknown>([own])
  for (let round = 0; round < ROUNDS; round += 1) {
    const parsed = params.safeParse({ csr: mutate(original, random).toString('latin1') })
    if (parsed.success) accepted.add(parsed.data['publicKey'])
  }
  expect([...accepted]).toEqual([own])
})
