import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runProgram } from '../support/run-program.ts'
import { createCertificateWorld, type Certified, type CertificateWorld } from './certificate-world.ts'

const KEYS = [
  ['EC P-256', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']],
  ['EC P-384', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384']],
  ['RSA 2048', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']],
  ['Ed25519', ['genpkey', '-algorithm', 'ED25519']],
] as const

let folder: string
let direct: CertificateWorld
let delegated: CertificateWorld

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskgrant-openssl-'))
  direct = await createCertificateWorld({ intermediate: false })
  delegated = await createCertificateWorld({ intermediate: true, ocspDelegate: true })
})

afterAll(async () => {
  await direct[Symbol.asyncDispose]()
  await delegated[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

let files = 0

async function file(content: string | Buffer): Promise<string> {
  files += 1
  const path = join(folder, String(files))
  await writeFile(path, content)
  return path
}

/** What openssl says; its exit code if it is not 0. */
async function openssl(...args: (string | readonly string[])[]): Promise<string> {
  const { code, output } = await runProgram('openssl', args.flat())
  return code === 0 ? output : `exit ${code}\n${output}`
}

async function verify(world: CertificateWorld, own: Certified, ...args: string[]): Promise<string> {
  const roots = await file(own.ca)
  const chain = own.chain === '' ? [] : ['-untrusted', await file(own.chain)]
  const crl = await file(await world.fetchText('/v1/crl.pem'))
  return openssl('verify', args, '-CAfile', roots, chain, '-CRLfile', crl, await file(own.certificate))
}

describe('openssl verify', () => {
  it('finds certificates good for clients only, below a root and below an intermediate', async () => {
    for (const world of [direct, delegated]) {
      const own = await world.certify('client')
      expect(await verify(world, own, '-x509_strict', '-purpose', 'sslclient')).toMatch(/: OK\n$/)
      expect(await verify(world, own, '-purpose', 'sslserver')).toMatch(/unsuitable certificate purpose/)
    }
  })

  it('finds them revoked by the list once their task has ended', async () => {
    for (const world of [direct, delegated]) {
      const [own, other] = [await world.certify('client'), await world.certify('client')]
      expect(await verify(world, own, '-crl_check')).toMatch(/: OK\n$/)
      await world.revoke(own.taskId)
      expect(await verify(world, own, '-crl_check')).toMatch(/certificate revoked/)
      expect(await verify(world, other, '-crl_check')).toMatch(/: OK\n$/)
    }
  })
})

describe('openssl crl', () => {
  it('reads the list, with its number and its time, and finds it signed by the authority', async () => {
    const own = await direct.certify('client')
    await direct.revoke(own.taskId)
    const crl = await file(await direct.fetchText('/v1/crl.pem'))
    const read = await openssl('crl', '-in', crl, '-CAfile', await file(own.ca), '-noout', '-text')
    expect(read).toContain('verify OK')
    expect(read).toContain('Version 2')
    expect(read).toMatch(/X509v3 CRL Number: \n\s+\d+/)
    expect(read).toContain(own.serial.toUpperCase())
  })
})

describe('openssl ocsp', () => {
  async function ask(world: CertificateWorld, own: Certified, ...digest: string[]): Promise<string> {
    const issuer = await file(own.chain === '' ? own.ca : own.chain)
    const answer = await openssl(
      ['ocsp', ...digest, '-issuer', issuer, '-cert', await file(own.certificate)],
      ['-CAfile', await file(own.ca + own.chain), '-url', new URL('/v1/ocsp', world.broker.url).href],
    )
    return answer.replaceAll(/^.*\/\d+: /gm, 'STATUS ')
  }

  it.each([
    ['the authority answers', () => direct],
    ['a delegate answers', () => delegated],
  ])('is told good, then revoked, in answers that verify (%s)', async (_case, of) => {
    const world = of()
    const own = await world.certify('client')
    for (const hash of ['-sha1', '-sha256']) {
      const good = await ask(world, own, hash)
      expect(good).toContain('Response verify OK')
      expect(good).toContain('STATUS good')
      expect(good).not.toContain('WARNING: no nonce')
    }
    await world.revoke(own.taskId)
    const revoked = await ask(world, own)
    expect(revoked).toContain('Response verify OK')
    expect(revoked).toContain('STATUS revoked')
    expect(revoked).toMatch(/Revocation Time: /)
  })

  it('is told of a serial that was never issued that it is unknown', async () => {
    const own = await direct.certify('client')
    const answer = await openssl(
      ['ocsp', '-issuer', await file(own.ca), '-serial', '0x4711', '-CAfile', await file(own.ca)],
      ['-url', new URL('/v1/ocsp', direct.broker.url).href],
    )
    expect(answer).toMatch(/0x4711: unknown/)
  })

  it('gets by GET an answer that may be cached, if it sends no nonce', async () => {
    const own = await direct.certify('client')
    const path = join(folder, 'request.der')
    const [issuer, certificate] = [await file(own.ca), await file(own.certificate)]
    await openssl('ocsp', '-issuer', issuer, '-cert', certificate, '-no_nonce', '-reqout', path)
    const encoded = encodeURIComponent((await readFile(path)).toString('base64'))
    const response = await fetch(new URL(`/v1/ocsp/${encoded}`, direct.broker.url))
    expect(response.headers.get('cache-control')).toMatch(/^max-age=\d+, public/)
    const answer = await file(Buffer.from(await response.arrayBuffer()))
    const read = await openssl([
      'ocsp',
      '-respin',
      answer,
      '-issuer',
      issuer,
      '-cert',
      certificate,
      '-CAfile',
      issuer,
    ])
    expect(read).toContain('Response verify OK')
    expect(read).toContain(': good')
  })
})

describe('openssl req', () => {
  it.each(KEYS)(
    'makes a request whose key is certified, and nothing else of it: %s',
    async (_name, genpkey) => {
      const key = await file(await openssl(genpkey))
      const csr = await openssl(
        ['req', '-new', '-key', key, '-subj', '/CN=boss/O=elsewhere'],
        ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'subjectAltName=DNS:bank.example.com'],
      )
      const own = await direct.certify('client', { csr })
      expect(own.privateKey).toBeUndefined()
      const text = await openssl('x509', '-in', await file(own.certificate), '-noout', '-text')
      expect(text).not.toMatch(/bank|elsewhere|CA:TRUE|boss/)
      expect(await openssl('x509', '-in', await file(own.certificate), '-noout', '-pubkey')).toBe(
        await openssl('pkey', '-in', key, '-pubout'),
      )
      expect(await verify(direct, own, '-purpose', 'sslclient', '-crl_check')).toMatch(/: OK\n$/)
    },
  )
})

describe('openssl pkcs12', () => {
  it('opens the file with its password, and with no other', async () => {
    const own = await delegated.certify('client', { format: 'pkcs12' })
    const { pkcs12, pkcs12Password } = own as Certified & { pkcs12: string; pkcs12Password: string }
    const path = await file(Buffer.from(pkcs12, 'base64'))
    const opened = await openssl('pkcs12', '-in', path, '-nodes', '-passin', `pass:${pkcs12Password}`)
    expect(opened).toContain('PRIVATE KEY')
    expect(opened.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
    const refused = await openssl('pkcs12', '-in', path, '-nodes', '-passin', 'pass:wrong')
    expect(refused).toMatch(/Mac verify error|invalid password/)
  })
})
