import { expect, test } from 'vitest'
import type { Authority, Verification } from '../../broker/adapter.ts'
import type { Core } from '../../broker/core.ts'
import { authorityRoutes } from '../../broker/http/routes/authorities.ts'

const ID = 'ab'.repeat(16)

function verificationOf(facts: Pick<Authority, 'signs' | 'lists'>): Verification {
  const authority = { id: ID, certificates: 'PEM', certificateDer: new Uint8Array([1]), ...facts }
  return {
    authorities: [authority],
    revocationList: async () => ({ der: new Uint8Array([2]), nextUpdate: new Date() }),
    ocsp: async () => undefined,
  }
}

async function get(path: string, ...verifications: Verification[]): Promise<unknown> {
  const resources = new Map(
    verifications.map((verification, index) => [`r${index}`, { adapter: { verification } }]),
  )
  // These routes look at nothing else.
  const core = { resources } as unknown as Core
  const route = authorityRoutes.find((one) => one.path === path)
  const input = { core, query: {}, params: {}, body: undefined, idempotencyKey: undefined }
  return (await route?.handle(input, undefined))?.body
}

const listing = verificationOf({ signs: false, lists: true })
const signing = verificationOf({ signs: true, lists: false })
const both = verificationOf({ signs: true, lists: true })

test.each([
  ['a resource that signs, and one that lists', [signing, listing]],
  ['the same the other way round', [listing, signing]],
  ['one that signs and lists, and one that only accepts it', [both, listing]],
  ['the same the other way round', [listing, both]],
])('an authority that several resources share is one, which signs and lists: %s', async (_case, shared) => {
  expect(await get('/v1/crl.der', ...shared)).toEqual(new Uint8Array([2]))
  expect(await get('/v1/ca.der', ...shared)).toEqual(new Uint8Array([1]))
  expect(await get('/v1/ca.pem', ...shared)).toBe('PEM')
})
