import { createPrivateKey } from 'node:crypto'
import { appendFile, chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isOpenToOthers } from '../../adapters/x509/key-file.ts'
import { loadCa, type CaFiles } from '../../adapters/x509/load-ca.ts'
import { Secret } from '../../broker/secret.ts'
import { makeIdentity, type TestIdentity } from '../support/certificates.ts'
import { ecKeys, rsaKeys } from '../support/csr.ts'
import { caFolder, refusal, type CaFolder } from './x509-ca-steps.ts'

const PASSPHRASE = 'correct horse battery staple'

let folder: CaFolder
beforeAll(async () => {
  folder = await caFolder()
})
afterAll(() => folder[Symbol.asyncDispose]())

const root = makeIdentity({ name: 'root' })
const issuing = makeIdentity({ name: 'issuing', issuer: root })

describe('a key file', () => {
  test.each([0o600, 0o400, 0o700])('of mode %o is used', async (mode) => {
    expect(refusal(await folder.write(root, { mode }))).toBeUndefined()
  })

  test.each([0o640, 0o644, 0o604, 0o620, 0o602, 0o660, 0o610, 0o777])(
    'of mode %o is refused',
    async (mode) => {
      const files = await folder.write(root)
      await chmod(files.keyFile, mode)
      expect(refusal(files)).toBe(`is open to other users (mode ${mode.toString(8)}): chmod 600`)
    },
  )

  test('is looked at behind a link, as containers mount it', async () => {
    const files = await folder.write(root)
    const link = `${files.keyFile}.link`
    await symlink(files.keyFile, link)
    expect(refusal({ ...files, keyFile: link })).toBeUndefined()
    await chmod(files.keyFile, 0o644)
    expect(refusal({ ...files, keyFile: link })).toContain('is open to other users')
  })

  test.each([
    ['ours alone', 0o100600, 1000, 1000, false],
    ['ours, and readable by our group', 0o100640, 1000, 1000, true],
    ["root's, and readable by our group", 0o100640, 0, 1000, false],
    ["root's, and writable by our group", 0o100660, 0, 1000, true],
    ["root's, and readable by all", 0o100644, 0, 1000, true],
    ["root's, who we are, and readable by a group", 0o100640, 0, 0, true],
    ["another user's, and readable by our group", 0o100640, 1001, 1000, true],
    ['on Windows', 0o100666, 0, undefined, false],
  ])('that is %s', (_, mode, uid, self, isOpen) => {
    expect(isOpenToOthers({ mode, uid }, self)).toBe(isOpen)
  })

  test('that is missing, a folder, or no key is refused', async () => {
    const files = await folder.write(root)
    expect(refusal({ ...files, keyFile: join(folder.path, 'missing.key') })).toBe('cannot be read')
    const directory = join(folder.path, uuidv7())
    await mkdir(directory, { mode: 0o700 })
    expect(refusal({ ...files, keyFile: directory })).toBe('is not a file')
    await writeFile(files.keyFile, 'not a key')
    expect(refusal(files)).toBe('holds no private key in PEM that can be read')
    await writeFile(files.keyFile, root.certificate.toString())
    expect(refusal(files)).toBe('holds no private key in PEM that can be read')
    await writeFile(files.keyFile, '')
    expect(refusal(files)).toBe('holds no private key in PEM that can be read')
  })

  test.each([
    ['of another authority', makeIdentity({ name: 'root' })],
    ['of another kind', { ...root, ...rsaKeys() }],
  ])('%s is refused', async (_, other) => {
    const { keyFile } = await folder.write(other)
    expect(refusal({ ...(await folder.write(root)), keyFile })).toBe('is not the key of the certificate')
  })

  test.each([
    ['RSA 1024', rsaKeys(1024)],
    ['P-521', ecKeys('secp521r1')],
  ])('of %s is refused', async (_, keys) => {
    const files = await folder.write(root)
    const identity = makeIdentity({ name: 'odd', issuer: root, keys })
    expect(refusal({ ...files, ...(await folder.write(identity)) })).toMatch(
      /^expected a key of EC P-256 or P-384/,
    )
  })
})

describe('an encrypted key', () => {
  const passphrase = new Secret(PASSPHRASE)

  test('is opened with its passphrase', async () => {
    const files = await folder.write(root, { passphrase: PASSPHRASE })
    expect(await readFile(files.keyFile, 'utf8')).toContain('ENCRYPTED')
    expect(refusal({ ...files, passphrase })).toBeUndefined()
  })

  test('in the old form of OpenSSL is opened with its passphrase', async () => {
    const files = await folder.write(root)
    const options = { type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE } as const
    await writeFile(files.keyFile, root.privateKey.export(options))
    expect(refusal({ ...files, passphrase })).toBeUndefined()
    expect(refusal(files)).toBe('is encrypted: name its passphrase')
  })

  test.each([
    ['no passphrase', undefined, 'is encrypted: name its passphrase'],
    ['another passphrase', 'wrong', 'cannot be opened with this passphrase'],
    ['a passphrase of 100,000 characters', 'x'.repeat(100_000), 'cannot be opened with this passphrase'],
  ])('is refused with %s', async (_, wrong, message) => {
    const files = await folder.write(root, { passphrase: PASSPHRASE })
    const given = wrong === undefined ? {} : { passphrase: new Secret(wrong) }
    expect(refusal({ ...files, ...given })).toBe(message)
  })
})

test('no refusal quotes a key or a passphrase', async () => {
  const files = await folder.write(root, { passphrase: PASSPHRASE })
  const plain = await folder.write(root)
  const pem = await readFile(plain.keyFile, 'utf8')
  await writeFile(plain.keyFile, pem.replace('BEGIN PRIVATE', 'BEGIN ODD PRIVATE'))
  const attempts: CaFiles[] = [
    { ...files, passphrase: new Secret('hunter2-wrong') },
    files,
    plain,
    { ...(await folder.write(makeIdentity({ name: 'x' }))), keyFile: (await folder.write(root)).keyFile },
  ]
  const lines = pem.split('\n').filter((line) => !line.startsWith('---') && line !== '')
  for (const attempt of attempts) {
    const told = inspectDeeply(() => loadCa(attempt))
    for (const secret of [...lines, PASSPHRASE, 'hunter2-wrong']) expect(told).not.toContain(secret)
  }
})

/** Everything that logging the error could show. */
function inspectDeeply(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    const { message, stack, cause } = error as Error
    return [message, stack, String(cause), JSON.stringify(error, Object.getOwnPropertyNames(error))].join(
      '\n',
    )
  }
  throw new Error('it was not refused')
}

describe('a certificate file', () => {
  const chainError = 'must hold the authority first, and then whoever issued the one before'
  const other = makeIdentity({ name: 'root' })
  const notCa = makeIdentity({ name: 'end', issuer: root, isCa: false, keyUsages: ['digitalSignature'] })
  const lower = makeIdentity({ name: 'lower', issuer: issuing })

  test.each<[string, TestIdentity, TestIdentity[]]>([
    ['a root', root, []],
    ['an authority without those above it', issuing, []],
    ['an authority and its root', issuing, [root]],
    ['an authority and two above it', lower, [issuing, root]],
  ])('with %s is used', async (_, identity, chain) => {
    expect(refusal(await folder.write(identity, { chain }))).toBeUndefined()
  })

  test.each<[string, TestIdentity, TestIdentity[], string]>([
    ['no authority', notCa, [], 'is not the certificate of an authority (CA:TRUE)'],
    ['the root first', root, [issuing], chainError],
    ['one left out', lower, [root], chainError],
    ['one twice', issuing, [issuing, root], chainError],
    ['another root of the same name', issuing, [other], chainError],
    ['nine certificates', root, Array.from({ length: 8 }, () => root), 'holds more than 8 certificates'],
    [
      'an authority that may not sign lists',
      makeIdentity({ name: 'a', keyUsages: ['keyCertSign'] }),
      [],
      'must be allowed to sign certificates and revocation lists (keyCertSign, cRLSign)',
    ],
    [
      'an authority that may not sign certificates',
      makeIdentity({ name: 'a', keyUsages: ['cRLSign', 'digitalSignature'] }),
      [],
      'is not the certificate of an authority (CA:TRUE)',
    ],
  ])('with %s is refused', async (_, identity, chain, message) => {
    expect(refusal(await folder.write(identity, { chain }))).toBe(message)
  })

  test.each([
    ['is no authority', notCa],
    [
      'is no authority, though it may sign certificates',
      makeIdentity({ name: 'a', issuer: root, isCa: false }),
    ],
  ])('with a certificate above that %s is refused', async (_, above) => {
    const below = makeIdentity({ name: 'below', issuer: above })
    expect(refusal(await folder.write(below, { chain: [above] }))).toBe(chainError)
  })

  test('with a certificate above of the right name, and of another key, is refused', async () => {
    // Neither names the key that signed it: the signature alone tells.
    const [one, another] = [makeIdentity({ name: 'same' }), makeIdentity({ name: 'same' })]
    expect(one.certificate.checkIssued(another.certificate)).toBe(true)
    expect(refusal(await folder.write(one, { chain: [another] }))).toBe(chainError)
  })

  test.each([
    ['nothing', '', 'holds no PEM certificate'],
    ['something else', 'certificate', 'holds no PEM certificate'],
    ['a key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'holds no PEM certificate'],
    [
      'garbage',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      'holds a certificate that cannot be read',
    ],
  ])('with %s is refused', async (_, text, message) => {
    const files = await folder.write(root)
    await writeFile(files.certFile, text)
    expect(refusal(files)).toBe(message)
  })

  test('with garbage after the authority is refused', async () => {
    const files = await folder.write(root)
    await appendFile(files.certFile, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    expect(refusal(files)).toBe('holds a certificate that cannot be read')
  })

  test('that is missing is refused', async () => {
    expect(refusal({ ...(await folder.write(root)), certFile: join(folder.path, 'missing.pem') })).toBe(
      'cannot be read',
    )
  })

  test('alone is an authority that is accepted and signs nothing', async () => {
    const { certFile } = await folder.write(root)
    expect(loadCa({ certFile }).signer).toBeUndefined()
    expect(loadCa({ certFile }).responder).toBeUndefined()
  })
})

test('the key that was read is the one that signs', async () => {
  const files = await folder.write(root)
  const signature = loadCa(files).signer?.sign(Buffer.from('x'))
  const key = createPrivateKey(await readFile(files.keyFile))
  expect(key.equals(root.privateKey)).toBe(true)
  expect(signature?.length).toBeGreaterThan(60)
})
