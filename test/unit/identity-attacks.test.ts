import { createHmac, createPrivateKey, generateKeyPairSync, sign as signBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createAuthenticator } from '../../broker/identity/authenticator.ts'
import { issuerSettings } from '../../broker/identity/issuer-config.ts'
import { BrokerError } from '../../broker/errors.ts'
import { Secret } from '../../broker/secret.ts'
import { encode, goodClaims, inSeconds, ISSUER, signingKey, token } from '../support/signing.ts'

const key = signingKey('k1')
const stranger = signingKey('k1')
const settings = {
  issuer: ISSUER,
  audience: 'taskgrant',
  jwks: { keys: [key.publicJwk] },
  workload: { id: 'sub', groups: 'realm.groups' },
  user: { id: 'sub', audience: 'taskgrant-user' },
}
const authenticator = createAuthenticator([issuerSettings.parse(settings)])

/** Why a token is refused; nothing if it is not. */
async function refusal(presented: Secret<string> | string): Promise<string | undefined> {
  const secret = typeof presented === 'string' ? new Secret(presented) : presented
  try {
    await authenticator.authenticate(secret)
    return undefined
  } catch (error) {
    return error instanceof BrokerError && error.code === 'unauthenticated' ? error.message : String(error)
  }
}

const without = (claim: string) => ({ claims: { [claim]: undefined } })
const act = (depth: number): Record<string, unknown> =>
  depth === 0 ? {} : { act: { sub: `actor-${depth}`, ...act(depth - 1) } }

test('a good token names its workload', async () => {
  const claims = { realm: { groups: ['agents', 'orders', 'agents'] }, extra: { nested: true } }
  expect(await authenticator.authenticate(token(key, { claims }))).toEqual({
    id: 'mcp-orders',
    issuer: ISSUER,
    subject: 'mcp-orders',
    groups: ['agents', 'orders'],
  })
})

test.each([undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'JOSE'])(
  'typ %s is an access token',
  async (typ) => {
    await expect(authenticator.authenticate(token(key, { header: { typ } }))).resolves.toBeDefined()
  },
)

test.each(['dpop+jwt', 'secevent+jwt', 'logout+jwt', 'txntoken+jwt', 'oauth-id-jag+jwt', '', 7, null])(
  'typ %s is refused',
  async (typ) => {
    expect(await refusal(token(key, { header: { typ } }))).toContain('type')
  },
)

test('alg none is refused, with and without a signature', async () => {
  const unsigned = `${encode({ alg: 'none', typ: 'JWT' })}.${encode(goodClaims())}`
  expect(await refusal(`${unsigned}.`)).toContain('not a signed JWT')
  expect(await refusal(`${unsigned}.AAAA`)).toContain('algorithm')
})

test('HMAC with the public key as secret is refused', async () => {
  const pem = key.publicKey.export({ format: 'pem', type: 'spki' })
  for (const secret of [pem, JSON.stringify(key.publicJwk)]) {
    const signed = `${encode({ alg: 'HS256', kid: 'k1' })}.${encode(goodClaims())}`
    expect(
      await refusal(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`),
    ).toContain('algorithm')
  }
})

test('an algorithm outside of the list of the issuer is refused, signed by its own key or not', async () => {
  const only384 = issuerSettings.parse({ ...settings, algorithms: ['ES384'] })
  await expect(createAuthenticator([only384]).authenticate(token(key))).rejects.toThrow('algorithm')
})

test('a short RSA key is refused', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'rsa' }] }
  const signed = `${encode({ alg: 'RS256', kid: 'rsa' })}.${encode(goodClaims())}`
  const signature = signBytes('sha256', Buffer.from(signed), privateKey).toString('base64url')
  const weak = createAuthenticator([issuerSettings.parse({ ...settings, jwks })])
  await expect(weak.authenticate(new Secret(`${signed}.${signature}`))).rejects.toMatchObject({
    code: 'unauthenticated',
  })
})

test('keys that the token brings itself are not used', async () => {
  expect(await refusal(token(stranger))).toContain('signature')
  expect(await refusal(token(stranger, { header: { jwk: stranger.publicJwk } }))).toContain('signature')
  expect(
    await refusal(token(stranger, { header: { jku: 'https://evil.test/jwks', kid: 'unknown' } })),
  ).toContain('no key')
  expect(await refusal(token(stranger, { header: { kid: 7 } }))).toContain('no key')
})

test('a changed payload is refused', async () => {
  const [header, , signature] = token(key).reveal().split('.')
  expect(await refusal(`${header}.${encode({ ...goodClaims(), sub: 'admin-eve' })}.${signature}`)).toContain(
    'signature',
  )
})

test.each([
  ['another issuer', { iss: 'https://evil.test' }, 'issuer'],
  ['an issuer that differs in a slash', { iss: `${ISSUER}/` }, 'issuer'],
  ['no issuer', { iss: undefined }, 'issuer'],
  ['a list of issuers', { iss: [ISSUER] }, 'issuer'],
  ['an issuer named like a built-in member', { iss: '__proto__' }, 'issuer'],
  ['another audience', { aud: 'other' }, 'audience'],
  ['the audience of users', { aud: 'taskgrant-user' }, 'audience'],
  ['no audience', { aud: undefined }, 'aud'],
  ['no expiry', { exp: undefined }, 'exp'],
  ['an expiry in words', { exp: '2999-01-01' }, 'exp'],
  ['an expiry in the past', { exp: inSeconds(-31) }, 'expired'],
  ['a start in the future', { nbf: inSeconds(90) }, 'not valid yet'],
  ['an issue in the future', { iat: inSeconds(90) }, 'future'],
  ['an issue in words', { iat: 'now' }, 'iat'],
  ['a negative time', { iat: -1 }, 'time'],
  ['no subject', { sub: undefined }, 'sub'],
  ['an empty subject', { sub: '' }, 'sub'],
  ['a number as subject', { sub: 7 }, 'sub'],
  ['a list as subject', { sub: ['mcp-orders'] }, 'sub'],
  ['a long subject', { sub: 'm'.repeat(257) }, 'sub'],
  ['a line break in the subject', { sub: 'mcp-a\nadmin-b' }, 'sub'],
  ['NUL in the subject', { sub: 'mcp-a\u0000' }, 'sub'],
  ['a lone surrogate in the subject', { sub: 'mcp-\ud800' }, 'sub'],
  ['text that reads backwards in the subject', { sub: 'mcp-\u202etset' }, 'sub'],
  ['groups that are no list', { realm: { groups: 'admins' } }, 'groups'],
  ['a group that is no text', { realm: { groups: ['a', {}] } }, 'groups'],
  [
    'too many groups',
    { realm: { groups: Array.from({ length: 101 }, (_, index) => `g${index}`) } },
    'groups',
  ],
  ['an actor', { act: { sub: 'agent' } }, 'delegated'],
  ['a bound key', { cnf: { jkt: 'abc' } }, 'bound to a key'],
])('a workload token with %s is refused', async (_name, claims, reason) => {
  expect(await refusal(token(key, { claims }))).toContain(reason)
})

test('a time that JSON takes for infinity is refused', async () => {
  const payload = JSON.stringify({ ...goodClaims(), exp: 1 }).replace('"exp":1', '"exp":1e999')
  expect(await refusal(token(key, { claims: payload }))).toContain('time')
})

test('critical extensions are refused', async () => {
  expect(await refusal(token(key, { header: { crit: ['exp'] } }))).toContain('critical')
  expect(await refusal(token(key, { header: { crit: ['b64'], b64: false } }))).toContain('critical')
})

test.each([
  ['nothing', ''],
  ['two parts', 'e30.e30'],
  ['four parts', 'e30.e30.e30.e30'],
  ['other characters', 'e30.e30.@@@@'],
  ['padding', 'e30=.e30=.AAAA'],
  ['a space', ' e30.e30.AAAA'],
  ['a header that is no JSON', `${encode('{')}.${encode(goodClaims())}.AAAA`],
  ['a header that is a list', `${encode([])}.${encode(goodClaims())}.AAAA`],
  ['a payload that is no JSON', `${encode({ alg: 'ES256' })}.${encode('x')}.AAAA`],
  ['a payload that is a list', `${encode({ alg: 'ES256' })}.${encode([])}.AAAA`],
  ['a payload that is null', `${encode({ alg: 'ES256' })}.${encode('null')}.AAAA`],
  ['bytes that are not UTF-8', `${encode({ alg: 'ES256' })}._v8.AAAA`],
])('a token of %s is refused', async (_name, presented) => {
  expect(await refusal(presented)).toContain('not a signed JWT')
})

test('a huge token is refused before anything is decoded', async () => {
  expect(await refusal(token(key, { claims: { padding: 'x'.repeat(16_384) } }))).toContain('longer than')
})

test('a refusal quotes nothing of the token', async () => {
  const canary = 'canary-7f3a'
  const presented = [
    token(key, { claims: { sub: `${canary}\n` } }),
    token(key, { claims: { iss: canary } }),
    token(key, { claims: { aud: canary } }),
    token(key, { header: { alg: canary } }),
    token(key, { header: { typ: canary } }),
    token(key, { header: { crit: [canary] } }),
    token(key, { claims: canary }),
  ]
  for (const one of presented) {
    const error: unknown = await authenticator.authenticate(one).catch((thrown: unknown) => thrown)
    expect(JSON.stringify([error, String(error), Object(error).cause, Object(error).errors])).not.toContain(
      canary,
    )
  }
})

test('the maximum age counts from iat, which is required then', async () => {
  const young = createAuthenticator([issuerSettings.parse({ ...settings, maxTokenAgeSeconds: 300 })])
  await expect(young.authenticate(token(key))).resolves.toBeDefined()
  await expect(young.authenticate(token(key, { claims: { iat: inSeconds(-331) } }))).rejects.toThrow(
    'too old',
  )
  await expect(young.authenticate(token(key, without('iat')))).rejects.toThrow('no iat claim')
  await expect(young.authenticate(token(key, { claims: { iat: inSeconds(90) } }))).rejects.toThrow('future')
})

test('the clock may be off by the tolerance and no more', async () => {
  const at = (offset: number) =>
    createAuthenticator([issuerSettings.parse(settings)], { now: () => new Date(Date.now() + offset * 1000) })
  await expect(at(85).authenticate(token(key))).resolves.toBeDefined()
  await expect(at(95).authenticate(token(key))).rejects.toThrow('expired')
})

test('a claim is found by its whole name first, then by path, and never in a prototype', async () => {
  const named = (id: string) =>
    createAuthenticator([issuerSettings.parse({ ...settings, user: undefined, workload: { id } })])
  const claims = { 'https://x.test/id': 'whole', azp: { client: { id: 'deep' } }, 'azp.client': 'flat' }
  const idBy = async (name: string) => (await named(name).authenticate(token(key, { claims }))).id
  expect(await idBy('https://x.test/id')).toBe('whole')
  expect(await idBy('azp.client')).toBe('flat')
  expect(await idBy('azp.client.id')).toBe('deep')
  for (const missing of ['constructor.name', '__proto__', 'toString', 'azp.constructor.name', 'sub.length']) {
    await expect(idBy(missing)).rejects.toThrow(`no ${missing} claim`)
  }
})

test('a prefix keeps the ids of one issuer apart from those of others', async () => {
  const prefixed = issuerSettings.parse({ ...settings, workload: { id: 'sub', idPrefix: 'ci/' } })
  expect((await createAuthenticator([prefixed]).authenticate(token(key))).id).toBe('ci/mcp-orders')
  const long = token(key, { claims: { sub: 'm'.repeat(254) } })
  await expect(createAuthenticator([prefixed]).authenticate(long)).rejects.toThrow('sub')
})

test('a token without kid may be signed by any of several keys', async () => {
  const other = signingKey('k2')
  const jwks = { keys: [other.publicJwk, key.publicJwk] }
  const two = createAuthenticator([issuerSettings.parse({ ...settings, jwks })])
  await expect(two.authenticate(token(key, { header: { kid: undefined } }))).resolves.toBeDefined()
  await expect(two.authenticate(token(stranger, { header: { kid: undefined } }))).rejects.toThrow('signature')
  const late = token(key, { header: { kid: undefined }, claims: { exp: inSeconds(-90) } })
  await expect(two.authenticate(late)).rejects.toThrow('expired')
})

const asUser = (claims: Record<string, unknown>) =>
  authenticator.verifyUser(token(key, { claims: { sub: 'alice', aud: 'taskgrant-user', ...claims } }))

test('the token of a user names the user and who acts between, the current actor first', async () => {
  const chain = { sub: 'mcp-orders', iss: ISSUER, act: { sub: 'agent-1' } }
  expect(await asUser({ act: chain })).toEqual({
    user: { id: 'alice', issuer: ISSUER, subject: 'alice' },
    actors: [{ subject: 'mcp-orders', issuer: ISSUER }, { subject: 'agent-1' }],
  })
  expect((await asUser(act(8))).actors).toHaveLength(8)
})

test.each([
  ['nine actors', act(9)],
  ['an actor that is text', { act: 'agent' }],
  ['an actor that is null', { act: null }],
  ['a list of actors', { act: [{ sub: 'agent' }] }],
  ['an actor without subject', { act: { iss: ISSUER } }],
  ['an actor with a number as subject', { act: { sub: 7 } }],
  ['an actor with a control character', { act: { sub: 'a\u0007' } }],
  ['an actor with a number as issuer', { act: { sub: 'a', iss: 7 } }],
  ['an inner actor that is text', { act: { sub: 'a', act: 'b' } }],
  ['the audience of workloads', { aud: 'taskgrant' }],
])('a user token with %s is refused at onBehalfOf', async (_name, claims) => {
  await expect(asUser({ ...claims })).rejects.toMatchObject({
    code: 'invalid_request',
    errors: [{ path: 'onBehalfOf', message: expect.any(String) }],
  })
})

test('an issuer for workloads vouches for no user, and the reverse', async () => {
  const { user, workload, ...rest } = settings
  const workloads = createAuthenticator([issuerSettings.parse({ ...rest, workload })])
  const users = createAuthenticator([issuerSettings.parse({ ...rest, user })])
  await expect(workloads.verifyUser(token(key))).rejects.toMatchObject({ code: 'invalid_request' })
  await expect(users.authenticate(token(key))).rejects.toThrow('not trusted for a workload')
})

test('the private half of a key is never taken for the public one', () => {
  const jwk = createPrivateKey(key.privateKey.export({ format: 'pem', type: 'pkcs8' })).export({
    format: 'jwk',
  })
  const parsed = issuerSettings.safeParse({ ...settings, jwks: { keys: [jwk] } })
  expect(parsed.error?.issues[0]?.message).toContain('secret members')
})
