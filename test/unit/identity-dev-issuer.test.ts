import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAuthenticator } from '../../broker/identity/authenticator.ts'
import { loadOrCreateDevIssuer } from '../../broker/identity/dev-issuer.ts'
import { packageRoot } from '../../broker/package-root.ts'

let home: string
beforeEach(async () => {
  home = join(await mkdtemp(join(tmpdir(), 'taskgrant-dev-')), 'home')
})
afterEach(() => rm(join(home, '..'), { recursive: true }))

const key = (): Promise<string> => readFile(join(home, 'dev-issuer.jwk'), 'utf8')
const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

test('its tokens are believed, and name the workload with its groups', async () => {
  const issuer = await loadOrCreateDevIssuer(home)
  const { authenticate } = createAuthenticator([issuer.settings()])
  const signed = await issuer.sign({
    subject: 'mcp-orders',
    use: 'workload',
    ttlSeconds: 60,
    groups: ['agents'],
  })
  expect(await authenticate(signed)).toEqual({
    id: 'mcp-orders',
    issuer: 'urn:taskgrant:dev',
    subject: 'mcp-orders',
    groups: ['agents'],
  })
})

test('a token of a user names the user and the actors, in order', async () => {
  const issuer = await loadOrCreateDevIssuer(home)
  const { verifyUser } = createAuthenticator([issuer.settings()])
  const actors = [{ subject: 'mcp-orders', issuer: 'https://idp.test' }, { subject: 'agent' }]
  const signed = await issuer.sign({ subject: 'alice', use: 'user', ttlSeconds: 60, actors })
  expect(await verifyUser(signed)).toMatchObject({ user: { id: 'alice' }, actors })
})

test('the token of a user is not that of a workload, nor the reverse', async () => {
  const issuer = await loadOrCreateDevIssuer(home)
  const { authenticate, verifyUser } = createAuthenticator([issuer.settings()])
  const user = await issuer.sign({ subject: 'admin-x', use: 'user', ttlSeconds: 60 })
  const workload = await issuer.sign({ subject: 'mcp-x', use: 'workload', ttlSeconds: 60 })
  await expect(authenticate(user)).rejects.toMatchObject({ code: 'unauthenticated' })
  await expect(verifyUser(workload)).rejects.toMatchObject({ code: 'invalid_request' })
})

test('the key is kept, and only its owner can read it', async () => {
  await loadOrCreateDevIssuer(home)
  const before = await key()
  expect(await mode(join(home, 'dev-issuer.jwk'))).toBe(0o600)
  expect(await mode(home)).toBe(0o700)
  await loadOrCreateDevIssuer(home)
  expect(await key()).toBe(before)
  expect((await readdir(home)).toSorted()).toEqual(['dev-issuer.jwk', 'dev-jwks.json'])
  expect(await readFile(join(home, 'dev-jwks.json'), 'utf8')).not.toContain('"d"')
})

test.each([0o640, 0o604, 0o620])('a key file of mode %o is refused', async (open) => {
  await loadOrCreateDevIssuer(home)
  await chmod(join(home, 'dev-issuer.jwk'), open)
  await expect(loadOrCreateDevIssuer(home)).rejects.toThrow(
    expect.objectContaining({
      name: 'StartupError',
      message: expect.stringContaining('open to other users'),
    }),
  )
})

test.each(['', '{', '{"kty":"RSA"}', '{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"canary"}'])(
  'a key file with %s in it is refused, and not quoted',
  async (text) => {
    await loadOrCreateDevIssuer(home)
    await writeFile(join(home, 'dev-issuer.jwk'), text)
    const error = await loadOrCreateDevIssuer(home).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      name: 'StartupError',
      message: expect.stringContaining('not a private P-256 key'),
    })
    expect(String(error)).not.toContain('canary')
  },
)

test('callers at once end with one key', async () => {
  const issuers = await Promise.all(Array.from({ length: 20 }, () => loadOrCreateDevIssuer(home)))
  const tokens = await Promise.all(
    issuers.map(({ sign }) => sign({ subject: 'mcp-a', use: 'workload', ttlSeconds: 60 })),
  )
  for (const { settings } of issuers.slice(0, 3)) {
    const { authenticate } = createAuthenticator([settings()])
    for (const one of tokens) await expect(authenticate(one)).resolves.toBeDefined()
  }
  expect(await readdir(home)).toHaveLength(2)
})

test('processes at once end with one key', async () => {
  const module = pathToFileURL(join(packageRoot(), 'dist/broker/identity/dev-key.js')).href
  const print = `import { loadOrCreateDevKey } from '${module}'
    console.log((await loadOrCreateDevKey(process.argv[1])).kid)`
  const runs = await Promise.all(
    Array.from({ length: 6 }, () =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', print, home]),
    ),
  )
  expect(new Set(runs.map(({ stdout }) => stdout)).size).toBe(1)
})

test.each([
  ['an empty subject', { subject: '' }, 'subject'],
  ['a line break in the subject', { subject: 'a\nb' }, 'subject'],
  ['a group with a control character', { groups: ['\u0000'] }, 'groups'],
  ['no time at all', { ttlSeconds: 0 }, 'ttlSeconds'],
  ['half a second', { ttlSeconds: 0.5 }, 'ttlSeconds'],
])('%s is not signed', async (_name, changes, path) => {
  const issuer = await loadOrCreateDevIssuer(home)
  const asked = { subject: 'mcp-a', use: 'workload' as const, ttlSeconds: 60, ...changes }
  await expect(issuer.sign(asked)).rejects.toMatchObject({ code: 'invalid_request', errors: [{ path }] })
})
