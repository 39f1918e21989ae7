import { expect, test } from 'vitest'
import { issuerSettings } from '../../broker/identity/issuer-config.ts'
import { signingKey } from '../support/signing.ts'

const good = {
  issuer: 'https://idp.test',
  audience: 'taskgrant',
  jwksUri: 'https://idp.test/jwks',
  workload: { id: 'sub' },
}

test('what is left out has a default', () => {
  const parsed = issuerSettings.parse(good)
  expect(parsed).toMatchObject({ audience: ['taskgrant'], clockToleranceSeconds: 30 })
  expect(parsed.algorithms).toContain('ES256')
  expect(parsed.algorithms.filter((algorithm) => /^HS|none/.test(algorithm))).toEqual([])
})

test('one issuer may name workloads and users, each with its own audience', () => {
  const { audience: _audience, ...rest } = good
  const both = {
    ...rest,
    workload: { id: 'sub', audience: ['a', 'b'] },
    user: { id: 'email', audience: 'c' },
  }
  expect(issuerSettings.parse(both)).toMatchObject({
    workload: { audience: ['a', 'b'] },
    user: { audience: ['c'] },
  })
})

test.each(['http://localhost:8080/jwks', 'http://127.0.0.1/jwks', 'http://[::1]:1/jwks'])(
  'keys may come unencrypted from this machine: %s',
  (jwksUri) => expect(issuerSettings.safeParse({ ...good, jwksUri }).success).toBe(true),
)

test.each([
  ['no keys', { jwksUri: undefined }, ''],
  ['two sources of keys', { jwksFile: 'jwks.json' }, ''],
  ['keys unencrypted from elsewhere', { jwksUri: 'http://idp.test/jwks' }, 'jwksUri'],
  ['a host that looks like this machine', { jwksUri: 'http://127.0.0.1.evil.test/jwks' }, 'jwksUri'],
  ['another scheme', { jwksUri: 'file:///etc/jwks' }, 'jwksUri'],
  ['a password in the URL', { jwksUri: 'https://u:p@idp.test/jwks' }, 'jwksUri'],
  ['no URL', { jwksUri: 'idp.test' }, 'jwksUri'],
  ['no audience', { audience: undefined }, 'audience'],
  ['an empty list of audiences', { audience: [] }, 'audience'],
  ['neither workloads nor users', { workload: undefined }, ''],
  ['one audience for workloads and users', { user: { id: 'sub' } }, 'user.audience'],
  ['an audience that both share', { user: { id: 'sub', audience: ['x', 'taskgrant'] } }, 'user.audience'],
  ['HMAC', { algorithms: ['HS256'] }, 'algorithms.0'],
  ['no signature', { algorithms: ['none'] }, 'algorithms.0'],
  ['no algorithm', { algorithms: [] }, 'algorithms'],
  ['a wide tolerance', { clockToleranceSeconds: 61 }, 'clockToleranceSeconds'],
  ['an unknown key', { jwksURI: 'https://idp.test' }, ''],
  ['an unknown key inside', { workload: { id: 'sub', prefix: 'x' } }, 'workload'],
  ['a prefix with a line break', { workload: { id: 'sub', idPrefix: 'a\n' } }, 'workload.idPrefix'],
])('%s is refused with its path', (_name, changes, path) => {
  const parsed = issuerSettings.safeParse({ ...good, ...changes })
  expect(parsed.error?.issues.map((issue) => issue.path.join('.'))).toContain(path)
})

test('inline keys are public, asymmetric and well-formed', () => {
  const { publicJwk, privateKey } = signingKey('k1')
  const check = (jwk: object): boolean =>
    issuerSettings.safeParse({ ...good, jwksUri: undefined, jwks: { keys: [jwk] } }).success
  expect(check(publicJwk)).toBe(true)
  expect(check({ ...privateKey.export({ format: 'jwk' }) })).toBe(false)
  expect(check({ kty: 'oct', k: 'c2VjcmV0' })).toBe(false)
  expect(check({ ...publicJwk, x: 'AAAA' })).toBe(false)
})
