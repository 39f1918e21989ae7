import { execFile } from 'node:child_process'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { v7 as uuidv7 } from 'uuid'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { caInFolder } from '../../adapters/x509/create-ca.ts'
import { x509Adapter } from '../../adapters/x509/index.ts'
import { loadCa } from '../../adapters/x509/load-ca.ts'
import { packageRoot } from '../../broker/package-root.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'

let base: string
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'taskgrant-ca-'))
})
afterAll(() => rm(base, { recursive: true, force: true }))

const BUILT = pathToFileURL(join(packageRoot(), 'dist', 'adapters', 'x509', 'create-ca.js')).href
const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8)

/** Makes it, or finds it, in a process of its own, not before this moment. */
async function inProcess(folder: string, notBefore: number): Promise<void> {
  const program = `
    const { caInFolder } = await import(${JSON.stringify(BUILT)})
    while (Date.now() < ${notBefore});
    caInFolder(${JSON.stringify(folder)}, 'taskgrant')`
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
}

test('an authority is made once, in a folder and with a key that are open to nobody else', async () => {
  const folder = join(base, uuidv7(), 'deep', 'ca')
  const first = loadCa(caInFolder(folder, 'Acme, Inc.'))
  const second = loadCa(caInFolder(folder, 'other'))
  expect(second.certificate.raw).toEqual(first.certificate.raw)
  expect(await modeOf(folder)).toBe('700')
  expect(await modeOf(join(folder, 'ca.key'))).toBe('600')
  expect((await readdir(folder)).toSorted()).toEqual(['ca.key', 'ca.pem'])
  expect(await readdir(join(folder, '..'))).toEqual(['ca'])
})

test('it is a root of its own, for ten years, that signs certificates and lists', () => {
  const { certificate, signer } = loadCa(caInFolder(join(base, uuidv7()), 'Acme, Inc.'))
  expect(certificate.ca).toBe(true)
  expect(certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.toLegacyObject().subject.O).toBe('Acme, Inc.')
  const years =
    new Date(certificate.validTo).getUTCFullYear() - new Date(certificate.validFrom).getUTCFullYear()
  expect(years).toBe(10)
  expect(signer).toBeDefined()
})

test('two folders have two authorities of different names and keys', () => {
  const [one, other] = [1, 2].map(() => loadCa(caInFolder(join(base, uuidv7()), 'taskgrant')))
  expect(one?.id).not.toBe(other?.id)
  expect(one?.certificate.subject).not.toBe(other?.certificate.subject)
})

test('a slash at the end of its path changes nothing', () => {
  const folder = join(base, uuidv7())
  const one = loadCa(caInFolder(`${folder}/`, 'taskgrant'))
  expect(loadCa(caInFolder(folder, 'taskgrant')).id).toBe(one.id)
})

test('a folder that is empty, or that others could read, is replaced', async () => {
  const folder = join(base, uuidv7())
  await mkdir(folder, { mode: 0o755 })
  loadCa(caInFolder(folder, 'taskgrant'))
  expect(await modeOf(folder)).toBe('700')
})

test('ten processes that start at once have one authority', async () => {
  const folder = join(base, uuidv7(), 'ca')
  const together = Date.now() + 1_500
  await Promise.all(Array.from({ length: 10 }, () => inProcess(folder, together)))
  const certificate = new X509Certificate(await readFile(join(folder, 'ca.pem')))
  expect(certificate.checkPrivateKey(createPrivateKey(await readFile(join(folder, 'ca.key'))))).toBe(true)
  expect(await readdir(join(folder, '..'))).toEqual(['ca'])
})

test.each<[string, (path: string) => Promise<unknown>, string, RegExp]>([
  ['a file is in its place', (path) => writeFile(path, ''), '', /: (ENOTDIR|EEXIST)$/],
  ['a file is where its parent should be', (path) => writeFile(path, ''), 'ca', /: (ENOTDIR|EEXIST)$/],
  [
    'something else is in it',
    async (path) => {
      await mkdir(path)
      await writeFile(join(path, 'notes.txt'), 'mine')
    },
    '',
    /: (ENOTEMPTY|EEXIST)$/,
  ],
  ['its name has a NUL', async () => undefined, 'a\0b', /: ERR_INVALID_ARG_VALUE$/],
])('none is made when %s, and nothing is left behind', async (_, prepare, below, message) => {
  const parent = join(base, uuidv7())
  await mkdir(parent)
  const path = join(parent, 'place')
  await prepare(path)
  const before = await readdir(parent, { recursive: true })
  expect(() => caInFolder(join(path, below), 'taskgrant')).toThrow(message)
  expect(await readdir(parent, { recursive: true })).toEqual(before)
})

test('a certificate whose key is gone is not replaced', async () => {
  const folder = join(base, uuidv7())
  const { certFile, keyFile = '' } = caInFolder(folder, 'taskgrant')
  const before = await readFile(certFile)
  await rm(keyFile)
  expect(() => loadCa(caInFolder(folder, 'taskgrant'))).toThrow('ca.key cannot be read')
  expect(await readFile(certFile)).toEqual(before)
})

test('a resource makes its authority when it is created, and two resources share one', () => {
  const ca = { createdInFolder: join(base, uuidv7()) }
  const ids = ['orders', 'stock'].map((resource) => {
    const settings = x509Adapter.settings.parse({ trustDomain: 'example.com', ca })
    const adapter = x509Adapter.create({ resource, settings, accesses: new Map(), ...NO_SERVICES })
    return adapter.verification?.authorities[0]?.id
  })
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/)
  expect(ids[1]).toBe(ids[0])
})
