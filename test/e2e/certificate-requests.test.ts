import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { API, createCertificateScene, type CertificateScene } from '../support/certificate-scene.ts'

let scene: CertificateScene

beforeAll(async () => {
  scene = await createCertificateScene()
})

afterAll(async () => {
  await scene[Symbol.asyncDispose]()
})

describe('what a caller asks for with a certificate', () => {
  it.each([
    ['params.csr', { csr: '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----' }],
    ['params.csr', { csr: 'x'.repeat(20_000) }],
    ['params.dnsNames.0', { dnsNames: ['api.example.com'] }],
    ['params.format', { format: 'jks' }],
    ['params', { subject: 'CN=root' }],
  ])('is refused with its place if it is wrong: %s', async (path, params) => {
    const { id } = await scene.open([])
    const answer = await scene.agent('POST', `/v1/tasks/${id}/grants`, { ...API, params })
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request'])
    expect(answer.body.errors[0].path).toBe(path)
  })

  it('gives a name that the access allows, and a PKCS #12 file if wanted', async () => {
    const { credential } = await scene.open([
      { ...API, access: 'server', params: { dnsNames: ['orders.mcp.internal'], format: 'pkcs12' } },
    ])
    expect(
      new X509Certificate(String(credential['certificate'])).checkHost('orders.mcp.internal'),
    ).toBeDefined()
    expect(credential['privateKey']).toBeUndefined()
    expect(String(credential['pkcs12']).length).toBeGreaterThan(500)
  })
})

describe('what verifiers ask for', () => {
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(new URL(path, scene.broker.url), { headers })
  const ask = (
    body: string | Uint8Array<ArrayBuffer>,
    type = 'application/ocsp-request',
  ): Promise<Response> =>
    fetch(new URL('/v1/ocsp', scene.broker.url), { method: 'POST', body, headers: { 'Content-Type': type } })
  const hex = async (response: Response): Promise<string> =>
    Buffer.from(await response.arrayBuffer()).toString('hex')
  const MALFORMED = '30030a0101'

  it('names its authority where there are several', async () => {
    const { grant } = await scene.open()
    const { authority } = grant['handle'] as { authority: string }
    const several = await scene.agent('GET', '/v1/crl.der')
    expect([several.status, several.body.errors[0].path]).toEqual([400, 'issuer'])
    expect(several.body.errors[0].message).toContain(authority)
    for (const path of ['/v1/crl.der', '/v1/crl.pem', '/v1/ca.der', '/v1/ca.pem']) {
      expect((await get(`${path}?issuer=${authority}`)).status, path).toBe(200)
      expect((await get(`${path}?issuer=${'0'.repeat(32)}`)).status, path).toBe(404)
      expect((await get(`${path}?issuer=../../etc`)).status, path).toBe(400)
    }
    expect((await (await get('/v1/ca.pem')).text()).match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })

  it('is sent again only if it has changed', async () => {
    const first = await get('/v1/crl.pem')
    const known = { 'If-None-Match': String(first.headers.get('etag')) }
    const same = await get('/v1/crl.pem', known)
    expect([same.status, await same.text()]).toEqual([304, ''])
    const { id } = await scene.open()
    await scene.agent('POST', `/v1/tasks/${id}/end`)
    expect((await get('/v1/crl.pem', known)).status).toBe(200)
  })

  it('is answered whatever it is, and never with an error of ours', async () => {
    expect((await ask('{}', 'application/json')).status).toBe(415)
    expect((await ask(new Uint8Array(20_000))).status).toBe(413)
    for (const body of [new Uint8Array(0), new Uint8Array([0x30, 0x80]), 'not DER']) {
      const answer = await ask(body)
      expect([answer.status, await hex(answer)]).toEqual([200, MALFORMED])
      expect(answer.headers.get('content-type')).toBe('application/ocsp-response')
    }
    expect(await hex(await get('/v1/ocsp/MIIB//8='))).toBe(MALFORMED)
    expect(await hex(await get('/v1/ocsp/MIIB%2F%2F8%3D'))).toBe(MALFORMED)
    for (const odd of ['%', '%00', 'a%20b', '%FF', 'A'.repeat(5_000)]) {
      expect((await get(`/v1/ocsp/${odd}`)).status, odd.slice(0, 10)).toBe(400)
    }
    expect((await get('/v1/ocsp')).status).toBe(405)
  })
})
