import { chmod } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadCa } from '../../adapters/x509/load-ca.ts'
import { x509Adapter } from '../../adapters/x509/index.ts'
import { makeIdentity, type CertificateWish, type TestIdentity } from '../support/certificates.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'
import { caFolder, refusal, type CaFolder } from './x509-ca-steps.ts'

const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'

let folder: CaFolder
beforeAll(async () => {
  folder = await caFolder()
})
afterAll(() => folder[Symbol.asyncDispose]())

const root = makeIdentity({ name: 'root' })
const issuing = makeIdentity({ name: 'issuing', issuer: root })

describe('a delegate for OCSP', () => {
  const delegate = (issuer: TestIdentity, purposes = [OCSP_SIGNING]): TestIdentity =>
    makeIdentity({ name: 'ocsp', issuer, isCa: false, keyUsages: ['digitalSignature'], purposes })

  test('of the authority answers for it, also when that has no key here', async () => {
    const identity = delegate(root)
    const ocsp = await folder.write(identity)
    const files = await folder.write(root)
    expect(loadCa({ ...files, ocsp }).responder?.certificate.raw).toEqual(identity.certificate.raw)
    expect(loadCa({ certFile: files.certFile, ocsp }).responder).toBeDefined()
  })

  test.each([
    ['of another authority', delegate(issuing), 'is not issued by the authority that it answers for'],
    [
      'of an authority of the same name',
      delegate(makeIdentity({ name: 'root' })),
      'is not issued by the authority that it answers for',
    ],
    [
      'for clients',
      delegate(root, ['1.3.6.1.5.5.7.3.2']),
      'must be allowed to answer for it (extended key usage OCSPSigning)',
    ],
    [
      'for nothing in particular',
      makeIdentity({ name: 'x', issuer: root, isCa: false }),
      'must be allowed to answer for it (extended key usage OCSPSigning)',
    ],
  ])('%s is refused', async (_, identity, message) => {
    expect(refusal({ ...(await folder.write(root)), ocsp: await folder.write(identity) })).toBe(message)
  })

  test('with a key that others can read, or with another key, is refused', async () => {
    const ocsp = await folder.write(delegate(root))
    const { keyFile } = await folder.write(delegate(root))
    expect(refusal({ ...(await folder.write(root)), ocsp: { ...ocsp, keyFile } })).toBe(
      'is not the key of the certificate',
    )
    await chmod(ocsp.keyFile, 0o644)
    expect(refusal({ ...(await folder.write(root)), ocsp })).toContain('is open to other users')
  })

  test('that only has the name of the authority is refused', async () => {
    // It does not name the key that signed it: the signature alone tells.
    const impostor = makeIdentity({ name: 'root', isCa: false, purposes: [OCSP_SIGNING] })
    expect(refusal({ ...(await folder.write(root)), ocsp: await folder.write(impostor) })).toBe(
      'is not issued by the authority that it answers for',
    )
  })

  test.each<[string, Partial<CertificateWish>, RegExp]>([
    [
      'has expired',
      { notAfter: new Date(Date.now() - 1_000) },
      /^the certificate that signs OCSP answers expired on/,
    ],
    ['is not valid yet', { notBefore: new Date(Date.now() + 3_600_000) }, /OCSP answers is not valid before/],
  ])('that %s is what the check says', async (_, times, message) => {
    const late = makeIdentity({ name: 'ocsp', issuer: root, isCa: false, purposes: [OCSP_SIGNING], ...times })
    const ca = { ...(await folder.write(root)), ocsp: await folder.write(late) }
    const settings = x509Adapter.settings.parse({ trustDomain: 'example.com', revocation: 'none', ca })
    const adapter = x509Adapter.create({ resource: 'api', settings, accesses: new Map(), ...NO_SERVICES })
    const call = { signal: AbortSignal.timeout(1_000), timeoutMs: 1_000 }
    await expect(adapter.check(call)).rejects.toThrow(message)
  })
})
