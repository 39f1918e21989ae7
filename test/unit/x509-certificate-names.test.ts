import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { access, settings } from '../../adapters/x509/settings.ts'
import { spiffeIdOf } from '../../adapters/x509/spiffe-id.ts'
import { GRANT_ID, mint, x509Fixture, type X509Fixture } from './x509-certificate-steps.ts'
import { problemsOf } from './x509-csr-steps.ts'

const ALLOWED = ['api.example.com', '*.svc.example.com', 'localhost', '*.xn--bcher-kva.example']

const label63 = 'a'.repeat(63)
/** 253 characters, the most that a name may have, below the wildcard. */
const LONGEST = `${'b'.repeat(45)}.${label63}.${label63}.${label63}.svc.example.com`.slice(-253)

let fixture: X509Fixture

beforeAll(async () => {
  fixture = await x509Fixture()
})
afterAll(() => fixture[Symbol.asyncDispose]())

describe('a host name', () => {
  test.each([
    'api.example.com',
    'orders.svc.example.com',
    'a-1.svc.example.com',
    '0.svc.example.com',
    'localhost',
    'www.xn--bcher-kva.example',
    `${label63}.svc.example.com`,
  ])('%s is allowed where the access says so', (name) => {
    expect(problemsOf({ dnsNames: [name] }, ALLOWED)).toEqual([])
    expect(problemsOf({ dnsNames: [name] }, [])).toEqual(['dnsNames.0: this access does not allow this name'])
  })

  test.each([
    'example.com',
    'www.api.example.com',
    'svc.example.com',
    'a.b.svc.example.com',
    'svc.example.com.evil.example',
    'evilsvc.example.com',
    'xsvc.example.com',
    'api.example.com.localhost',
    'localhost.localhost',
    'com',
  ])('%s is refused: it is another', (name) => {
    expect(problemsOf({ dnsNames: [name] }, ALLOWED)).toEqual([
      'dnsNames.0: this access does not allow this name',
    ])
  })

  test.each([
    ['empty', ''],
    ['a wildcard', '*'],
    ['the wildcard that is configured', '*.svc.example.com'],
    ['in upper case', 'API.example.com'],
    ['absolute', 'api.example.com.'],
    ['with an empty label', '.svc.example.com'],
    ['with two dots', 'a..svc.example.com'],
    ['of letters beyond ASCII', 'bücher.svc.example.com'],
    ['of a letter that looks like another', 'аpi.example.com'],
    ['with a blank', 'a b.svc.example.com'],
    ['with a NUL', 'api.example.com\0.evil.example'],
    ['with a line end', 'api.example.com\n'],
    ['with an underscore', 'a_b.svc.example.com'],
    ['that begins with a hyphen', '-a.svc.example.com'],
    ['that ends with a hyphen', 'a-.svc.example.com'],
    ['that is a list', 'a.svc.example.com,DNS:evil.example'],
    ['that is a URL', 'https://api.example.com'],
    ['with a port', 'api.example.com:443'],
    ['with a label of 64', `${label63}a.svc.example.com`],
    ['of IPv6', '::1'],
    ['of IPv6 in brackets', '[::1]'],
  ])('%s is refused', (_, name) => {
    const problems = problemsOf({ dnsNames: [name] }, [...ALLOWED, name])
    expect(problems).toContain('dnsNames.0: expected a host name in lower case')
  })

  test.each(['127.0.0.1', '10.1', '2130706433', '0x7f000001', 'a.0x7f', '0x'])(
    '%s is refused: it is read as an IP address',
    (name) => {
      const problem = 'dnsNames.0: expected a host name, not an IP address'
      expect(problemsOf({ dnsNames: [name] }, [name, `*.${name.split('.').slice(1).join('.')}`])).toContain(
        problem,
      )
    },
  )

  test('of 253 characters is the longest', () => {
    expect(LONGEST).toHaveLength(253)
    expect(problemsOf({ dnsNames: [LONGEST] }, [LONGEST])).toEqual([])
    const longer = `a${LONGEST}`
    expect(problemsOf({ dnsNames: [longer] }, [longer])).toEqual([
      expect.stringMatching(/^dnsNames\.0: .*253/),
    ])
  })

  test('may be there once', () => {
    expect(problemsOf({ dnsNames: ['localhost', 'localhost'] }, ALLOWED)).toEqual([
      'dnsNames: expected each name once',
    ])
  })

  test('may have 15 others beside it, and no more', () => {
    const names = Array.from({ length: 17 }, (_, index) => `n${index}.svc.example.com`)
    expect(problemsOf({ dnsNames: names.slice(1) }, ALLOWED)).toEqual([])
    expect(problemsOf({ dnsNames: names }, ALLOWED)).toEqual([expect.stringMatching(/^dnsNames: .*16/)])
  })

  test.each([null, 'localhost', [7], [null], [['localhost']], {}])('is refused as %j', (dnsNames) => {
    expect(problemsOf({ dnsNames }, ALLOWED)).toEqual([expect.stringMatching(/^dnsNames/)])
  })
})

test('what is no parameter is refused', () => {
  expect(problemsOf({ subject: 'CN=admin' })).toEqual([expect.stringContaining('subject')])
})

test('the names that were asked for are in the certificate, in their order, after the SPIFFE id', async () => {
  const adapter = await fixture.adapter({
    accesses: { server: { usages: ['server'], dnsNames: ALLOWED } },
  })
  const dnsNames = ['orders.svc.example.com', 'localhost', 'api.example.com']
  const { certificate, credential } = await mint(adapter, { access: 'server', params: { dnsNames } })
  expect(certificate.subjectAltName?.split(', ')).toEqual([
    `URI:${String(credential['spiffeId'])}`,
    ...dnsNames.map((name) => `DNS:${name}`),
  ])
  expect(certificate.checkHost('orders.svc.example.com')).toBe('orders.svc.example.com')
  expect(certificate.checkHost('other.svc.example.com')).toBeUndefined()
  expect(certificate.checkHost(GRANT_ID)).toBeUndefined()
})

test.each(['Acme, Inc.', 'Müller & Co (Köln)', '東京', 'a_b-c.d', 'R & D, 2'])(
  'the organization %s is in the certificate as it is',
  async (organization) => {
    const { certificate } = await mint(await fixture.adapter({ settings: { organization } }))
    expect(certificate.toLegacyObject().subject).toEqual({ O: organization, CN: GRANT_ID })
  },
)

describe('a SPIFFE id', () => {
  const names = { taskId: 't1', resource: 'internal-api', access: 'read' }

  test.each([
    ['..', '_..'],
    ['.', '_.'],
    ['', '_'],
    ['a/b', 'a_b'],
    ['a b%c?#é', 'a_b_c___'],
    ['a'.repeat(200), 'a'.repeat(128)],
  ])('has for the access %j the segment %j', (name, segment) => {
    expect(spiffeIdOf('example.com', { ...names, access: name })).toBe(
      `spiffe://example.com/task/t1/internal-api/${segment}`,
    )
  })
})

describe('refused as configuration is', () => {
  const good = { trustDomain: 'example.com', ca: { createdInFolder: '/tmp/ca' } }

  test.each<[string, object]>([
    ['an unknown key', { crl: true }],
    ['a trust domain in upper case', { trustDomain: 'Example.com' }],
    ['a trust domain with a port', { trustDomain: 'example.com:1' }],
    ['a trust domain that is a URL', { trustDomain: 'spiffe://example.com' }],
    ['an organization with a line end', { organization: 'a\nb' }],
    ['an organization with a slash', { organization: 'a/CN=b' }],
    ['an organization with a blank at its end', { organization: 'a ' }],
    ['an organization of 65 characters', { organization: 'a'.repeat(65) }],
    [
      'an authority with a folder and files',
      { ca: { createdInFolder: '/a', certFile: '/b', keyFile: '/c' } },
    ],
    ['an authority without a key', { ca: { certFile: '/b' } }],
    ['a revocation that is not known', { revocation: 'ocsp' }],
    ['a list that lives no time', { crlSeconds: 0 }],
    ['a list that lives longer than a week', { crlSeconds: 7 * 24 * 3600 + 1 }],
    ['five accepted authorities', { accepted: Array.from({ length: 5 }, () => ({ certFile: '/a' })) }],
  ])('%s', (_, change) => {
    expect(settings.safeParse(good).success).toBe(true)
    expect(settings.safeParse({ ...good, ...change }).success).toBe(false)
  })

  test.each<[string, object]>([
    ['a key type that is not known', { keyType: 'rsa-1024' }],
    ['no usage', { usages: [] }],
    ['a usage twice', { usages: ['client', 'client'] }],
    ['a usage that is not known', { usages: ['codeSigning'] }],
    ['a wildcard for everything', { dnsNames: ['*'] }],
    ['a wildcard inside a name', { dnsNames: ['a.*.example.com'] }],
    ['a wildcard for part of a label', { dnsNames: ['a*.example.com'] }],
    ['an IP address', { dnsNames: ['10.0.0.1'] }],
    ['a wildcard of IP addresses', { dnsNames: ['*.0.0.1'] }],
    ['a name in upper case', { dnsNames: ['API.example.com'] }],
  ])('an access with %s', (_, change) => {
    expect(access.safeParse({}).success).toBe(true)
    expect(access.safeParse(change).success).toBe(false)
  })
})
