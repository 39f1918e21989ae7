import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createAuthenticator, type Authenticator } from '../../broker/identity/authenticator.ts'
import { issuerSettings } from '../../broker/identity/issuer-config.ts'
import { startHttpStub, type HttpStub, type StubAnswer } from '../support/http-stub.ts'
import { ISSUER, signingKey, token, type SigningKey } from '../support/signing.ts'

const [first, second, unknown] = [signingKey('k1'), signingKey('k2'), signingKey('k3')]
const jwks = (...keys: SigningKey[]): object => ({ keys: keys.map(({ publicJwk }) => publicJwk) })
const settings = { issuer: ISSUER, audience: 'taskgrant', workload: { id: 'sub' } }
const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

let folder: string
let problems: string[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskgrant-keys-'))
  problems = []
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

async function accepts(authenticator: Authenticator, key: SigningKey): Promise<boolean> {
  return authenticator.authenticate(token(key)).then(
    () => true,
    () => false,
  )
}

const TIMING = { timeoutMs: 300, cooldownMs: 150, retryMs: 150, maxAgeMs: 60_000, maxStaleMs: 120_000 }

function remote(server: HttpStub, remoteKeys: Partial<typeof TIMING> = {}): Authenticator {
  return createAuthenticator([issuerSettings.parse({ ...settings, jwksUri: `${server.url}/jwks` })], {
    remoteKeys: { ...TIMING, ...remoteKeys },
    onKeyProblem: (issuer, message) => problems.push(`${issuer}: ${message}`),
  })
}

test('keys are fetched once for many callers at once', async () => {
  await using server = await startHttpStub(() => ({ body: jwks(first) }))
  const authenticator = remote(server)
  const all = await Promise.all(Array.from({ length: 50 }, () => accepts(authenticator, first)))
  expect(all).not.toContain(false)
  expect(server.requests).toHaveLength(1)
})

test('a new key is found without a restart, and one that was withdrawn is forgotten with it', async () => {
  let published = jwks(first)
  await using server = await startHttpStub(() => ({ body: published }))
  const authenticator = remote(server)
  expect(await accepts(authenticator, first)).toBe(true)
  published = jwks(second)
  await pause(TIMING.cooldownMs)
  expect(await accepts(authenticator, second)).toBe(true)
  expect(await accepts(authenticator, first)).toBe(false)
})

test('unknown keys do not hammer the issuer, neither while it answers nor while it does not', async () => {
  let answer: StubAnswer = { body: jwks(first) }
  await using server = await startHttpStub(() => answer)
  const authenticator = remote(server, { cooldownMs: 60_000, retryMs: 60_000 })
  expect(await accepts(authenticator, first)).toBe(true)
  for (let round = 0; round < 50; round++) expect(await accepts(authenticator, unknown)).toBe(false)
  expect(server.requests).toHaveLength(1)

  answer = { status: 503 }
  const another = remote(server, { retryMs: 60_000 })
  for (let round = 0; round < 50; round++) expect(await accepts(another, unknown)).toBe(false)
  expect(server.requests).toHaveLength(2)
})

test.each<[string, StubAnswer | undefined]>([
  ['answers with an error', { status: 500 }],
  ['redirects', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }],
  ['answers with something else', { body: '<html>' }],
  ['answers with no key set', { body: { keys: 'none' } }],
  ['does not answer at all', undefined],
])('an issuer that %s does not lock out the keys that are known', async (_name, outage) => {
  let answer: StubAnswer | undefined = { body: jwks(first) }
  await using server = await startHttpStub(() => answer)
  const authenticator = remote(server, { maxAgeMs: 50 })
  expect(await accepts(authenticator, first)).toBe(true)
  answer = outage
  for (let round = 0; round < 4; round++) {
    await pause(TIMING.cooldownMs + 10)
    expect(await accepts(authenticator, first)).toBe(true)
  }
  expect(server.requests.length).toBeGreaterThanOrEqual(2)
  expect(problems).toEqual([expect.stringContaining('cannot be fetched')])

  answer = { body: jwks(second) }
  await vi.waitFor(async () => expect(await accepts(authenticator, second)).toBe(true), 3_000)
})

test('during an outage only the first caller waits for the timeout', async () => {
  let answer: StubAnswer | undefined = { body: jwks(first) }
  await using server = await startHttpStub(() => answer)
  const authenticator = remote(server, { maxAgeMs: 1, cooldownMs: 1, retryMs: 1 })
  await accepts(authenticator, first)
  answer = undefined
  await pause(5)
  await accepts(authenticator, first)
  await pause(5)
  const start = performance.now()
  expect(await accepts(authenticator, first)).toBe(true)
  expect(performance.now() - start).toBeLessThan(TIMING.timeoutMs / 2)
})

test('keys that could not be renewed for too long are not believed any more', async () => {
  let answer: StubAnswer = { body: jwks(first) }
  await using server = await startHttpStub(() => answer)
  const authenticator = remote(server, { maxAgeMs: 50, maxStaleMs: 200 })
  expect(await accepts(authenticator, first)).toBe(true)
  answer = { status: 500 }
  await pause(210)
  await expect(authenticator.authenticate(token(first))).rejects.toThrow('cannot be fetched at the moment')
})

test('an issuer that is away at first is asked again', async () => {
  let answer: StubAnswer = { status: 503 }
  await using server = await startHttpStub(() => answer)
  const authenticator = remote(server)
  await expect(authenticator.authenticate(token(first))).rejects.toThrow('cannot be fetched at the moment')
  answer = { body: jwks(first) }
  await pause(TIMING.retryMs)
  expect(await accepts(authenticator, first)).toBe(true)
})

/** Lets the interval between two looks at a file pass at once. */
function skipInterval(): void {
  const now = performance.now() + 2_000
  vi.spyOn(performance, 'now').mockReturnValue(now)
}

async function replace(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

function local(jwksFile: string): Authenticator {
  return createAuthenticator([issuerSettings.parse({ ...settings, jwksFile })], {
    onKeyProblem: (issuer, message) => problems.push(`${issuer}: ${message}`),
  })
}

test('a key file is read again when it changes, and a broken one changes nothing', async () => {
  const file = join(folder, 'jwks.json')
  await writeFile(file, JSON.stringify(jwks(first)))
  const authenticator = local(file)
  expect(await accepts(authenticator, first)).toBe(true)

  await replace(file, JSON.stringify(jwks(second)))
  skipInterval()
  expect(await accepts(authenticator, second)).toBe(true)
  expect(await accepts(authenticator, first)).toBe(false)

  const privateJwk = second.privateKey.export({ format: 'jwk' })
  for (const broken of ['{', '[]', '{"keys":[{"kty":"EC"}]}', JSON.stringify({ keys: [privateJwk] })]) {
    problems = []
    await replace(file, broken)
    skipInterval()
    expect(await accepts(authenticator, second)).toBe(true)
    expect(problems).toHaveLength(1)
    expect(problems.join()).not.toContain(String(privateJwk.d))
  }
  await rm(file)
  skipInterval()
  expect(await accepts(authenticator, second)).toBe(true)

  await replace(file, JSON.stringify(jwks(first)))
  await utimes(file, 1, 1)
  skipInterval()
  expect(await accepts(authenticator, first)).toBe(true)
})

test('a key file is looked at once a second at most', async () => {
  const file = join(folder, 'jwks.json')
  await writeFile(file, JSON.stringify(jwks(first)))
  const authenticator = local(file)
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 900)
  await replace(file, JSON.stringify(jwks(second)))
  expect(await accepts(authenticator, first)).toBe(true)
})

test('a key file that is not usable at first stops the start, with its path', async () => {
  const file = join(folder, 'jwks.json')
  expect(() => local(file)).toThrow(
    expect.objectContaining({
      name: 'StartupError',
      flaws: [expect.objectContaining({ path: 'issuers.0' })],
    }),
  )
  await writeFile(file, `{"keys":[{"kty":"oct","k":"c2VjcmV0LWNhbmFyeQ"}]}`)
  expect(() => local(file)).toThrow('the issuers cannot be used')
})

test('an issuer that is named twice stops the start', () => {
  const one = issuerSettings.parse({ ...settings, jwks: jwks(first) })
  expect(() => createAuthenticator([one, one])).toThrow(
    expect.objectContaining({ flaws: [{ path: 'issuers.1.issuer', message: 'expected every issuer once' }] }),
  )
})
