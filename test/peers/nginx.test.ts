import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { signCrl } from '../../adapters/x509/crl.ts'
import { caOf } from '../../adapters/x509/ca.ts'
import { signerOf } from '../../adapters/x509/signature.ts'
import { pemOf } from '../support/crl.ts'
import type { TestIdentity } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { runProgram } from '../support/run-program.ts'
import { createCertificateWorld, type Certified, type CertificateWorld } from './certificate-world.ts'

interface Nginx {
  readonly port: number
  /** Loads these lists, as `nginx -s reload` does. */
  reload(crl: string): Promise<void>
}

const stops: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop()
})

/** A real nginx that asks for client certificates and looks at `ssl_crl`. */
async function startNginx(folder: string, own: Certified, roots: string, crl: string): Promise<Nginx> {
  const port = await freePort()
  const at = (name: string): string => join(folder, name)
  await mkdir(folder)
  // Its workers are another user.
  await chmod(folder, 0o755)
  await writeFile(at('server.pem'), own.certificate + own.chain)
  await writeFile(at('server.key'), own.privateKey)
  await writeFile(at('roots.pem'), roots)
  await writeFile(at('crl.pem'), crl)
  await writeFile(
    at('nginx.conf'),
    `daemon off; pid ${at('pid')}; error_log ${at('error.log')} info; worker_processes 1;
     events { worker_connections 64; }
     http {
       access_log off; client_body_temp_path ${at('body')}; proxy_temp_path ${at('proxy')};
       fastcgi_temp_path ${at('fastcgi')}; uwsgi_temp_path ${at('uwsgi')}; scgi_temp_path ${at('scgi')};
       server {
         listen 127.0.0.1:${port} ssl;
         ssl_certificate ${at('server.pem')}; ssl_certificate_key ${at('server.key')};
         ssl_client_certificate ${at('roots.pem')}; ssl_verify_client on; ssl_verify_depth 3;
         ssl_crl ${at('crl.pem')}; ssl_session_cache off; ssl_session_tickets off;
         location / { return 200 "hello $ssl_client_serial"; }
       }
     }`,
  )
  const checked = await runProgram('nginx', ['-t', '-c', at('nginx.conf')])
  expect(checked.code, checked.output).toBe(0)
  const child = spawn('nginx', ['-c', at('nginx.conf')], { stdio: 'ignore' })
  stops.push(async () => {
    child.kill('SIGQUIT')
    await once(child, 'close')
  })
  return {
    port,
    async reload(lists) {
      await writeFile(at('crl.pem'), lists)
      child.kill('SIGHUP')
    },
  }
}

/** What nginx answers to a client that shows this; `-` if it does not answer. */
async function ask(port: number, shown: Certified | undefined, ca: string): Promise<string> {
  const identity = shown === undefined ? {} : { cert: shown.certificate + shown.chain, key: shown.privateKey }
  const outgoing = request({ host: 'localhost', family: 4, port, ca, ...identity, agent: false })
  outgoing.end()
  try {
    const [response] = await once(outgoing, 'response')
    const body = await text(response)
    return response.statusCode === 200
      ? body
      : `${response.statusCode} ${/<center>(?!<h1>)(.*?)<\/center>/.exec(body)?.[1]}`
  } catch {
    return '-'
  }
}

async function world(intermediate: boolean): Promise<CertificateWorld> {
  const created = await createCertificateWorld({ intermediate })
  stops.push(async () => created[Symbol.asyncDispose]())
  return created
}

/** The list of an authority that is kept elsewhere: nginx looks at one for every certificate of the chain. */
function listOf(identity: TestIdentity): string {
  const ca = caOf({ chain: [identity.certificate], key: identity.privateKey, responder: undefined })
  const list = { number: 1, takenAt: new Date(), entries: [] }
  return pemOf('X509 CRL', signCrl(ca, signerOf(identity.privateKey), list, 3600, new Map()).der)
}

describe('nginx with ssl_crl', () => {
  it.each([
    ['the root signs', false],
    ['an intermediate signs', true],
  ])('lets a task in until it is revoked (%s)', async (_case, hasIntermediate) => {
    const { certify, revoke, fetchText, root, world: own } = await world(hasIntermediate)
    const lists = async (): Promise<string> =>
      (await fetchText('/v1/crl.pem')) + (hasIntermediate ? listOf(root) : '')
    const server = await certify('server', { dnsNames: ['localhost'] })
    const roots = await fetchText('/v1/ca.pem')
    const nginx = await startNginx(join(own.folder, 'nginx'), server, roots, await lists())
    const [one, other] = [await certify('client'), await certify('client')]
    const serialOf = ({ serial }: Certified): string => `hello ${serial.toUpperCase()}`

    await expect.poll(() => ask(nginx.port, one, roots)).toBe(serialOf(one))
    expect(await ask(nginx.port, undefined, roots)).toBe('400 No required SSL certificate was sent')
    expect(await ask(nginx.port, server, roots)).toBe('400 The SSL certificate error')
    await revoke(one.taskId)
    await nginx.reload(await lists())
    await expect.poll(() => ask(nginx.port, one, roots)).toBe('400 The SSL certificate error')
    expect(await ask(nginx.port, other, roots)).toBe(serialOf(other))
  })
})
