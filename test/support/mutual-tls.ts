import {
  createSecureContext,
  createServer,
  connect as tlsConnect,
  type Server,
  type TLSSocket,
} from 'node:tls'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { v7 as uuidv7 } from 'uuid'
import type { Adapter, Credential } from '../../broker/adapter.ts'
import { crlPem } from './crl.ts'

/** What a client shows: PEM, or a PKCS #12 file. */
export type ClientIdentity =
  | { readonly cert: string; readonly key: string }
  | { readonly pfx: Buffer; readonly passphrase: string }

export interface ServerIdentity {
  readonly cert: string
  readonly key: string
}

export interface MutualTlsServer extends AsyncDisposable {
  readonly port: number
  /** Trusts these roots and these lists from now on; PEM. */
  trust(ca: string, crl?: string): void
}

/** A TLS server of Node that asks for a client certificate and tells the client what it saw. */
export async function startMutualTls(identity: ServerIdentity, ca: string): Promise<MutualTlsServer> {
  const server: Server = createServer(
    { ...identity, ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
    (socket: TLSSocket) => {
      socket.on('error', () => undefined)
      socket.end(socket.getPeerX509Certificate()?.subjectAltName ?? '')
    },
  )
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    trust: (roots, crl) =>
      server.setSecureContext({
        ...identity,
        ca: roots,
        ...(crl === undefined ? {} : { crl }),
        minVersion: 'TLSv1.2',
      }),
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

/** What the server saw of the client. @throws {Error} if either side refuses the other */
export async function greet(port: number, client: ClientIdentity, ca: string): Promise<string> {
  const socket = tlsConnect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    secureContext: createSecureContext({ ...client, ca }),
  })
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(socket, 'close')
  if (text === '') throw new Error('the server closed the connection')
  return text
}

/** PEM of a credential, as clients and servers load it. */
export function identityOf(credential: Readonly<Record<string, unknown>>): { cert: string; key: string } {
  return {
    cert: `${String(credential['certificate'])}${String(credential['chain'])}`,
    key: String(credential['privateKey']),
  }
}

export interface MutualTlsFor extends AsyncDisposable {
  readonly port: number
  readonly roots: string
  /** Shows the credential to the server, which loads the current list before. @throws {Error} if it is refused */
  use(credential: Credential): Promise<string>
}

/** A server that believes in the authorities of this adapter. Its own certificate comes from the access `server`. */
export async function startMutualTlsFor(adapter: Adapter): Promise<MutualTlsFor> {
  const plan = {
    grantId: uuidv7(),
    taskId: uuidv7(),
    storeId: 'abcd1234',
    access: 'server',
    params: adapter.params('server').parse({ dnsNames: ['localhost'] }),
    workloadId: 'test',
    ttlSeconds: 3600,
  }
  const times = { expiresAt: new Date(Date.now() + 3_600_000), issueBefore: new Date(Date.now() + 10_000) }
  const call = { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 }
  const own = (await adapter.issue({ ...plan, ...times }, adapter.plan(plan), call)).credential.reveal()
  const roots = String(own['ca'])
  const server = await startMutualTls(identityOf(own), roots)
  return {
    port: server.port,
    roots,
    async use(credential) {
      server.trust(roots, await crlPem(adapter))
      return greet(server.port, identityOf(credential), roots)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
