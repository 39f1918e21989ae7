import { once } from 'node:events'
import { createServer, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface Certificate {
  readonly certificate: string
  readonly chain: string
  readonly ca: string
  readonly privateKey: string
  readonly spiffeId: string
  readonly serial: string
}

export interface InternalApi {
  readonly url: URL
  stop(): Promise<void>
}

const REFRESH_MS = 100

/**
 * An HTTPS server of Node as a team would run it: it lets in who shows a certificate of the broker's authority that is
 * not on its list, and fetches that list again and again.
 */
export async function startInternalApi(brokerUrl: string, own: Certificate): Promise<InternalApi> {
  const identity = { cert: own.certificate + own.chain, key: own.privateKey, ca: own.ca }
  const server = createServer(
    { ...identity, crl: await fetchList(brokerUrl), requestCert: true, rejectUnauthorized: true },
    (_request, response) => response.end('{"stock":{"4712":17}}'),
  )
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const refresh = setInterval(() => {
    fetchList(brokerUrl).then(
      (crl) => server.setSecureContext({ ...identity, crl }),
      () => undefined,
    )
  }, REFRESH_MS)
  return {
    url: new URL(`https://localhost:${(server.address() as AddressInfo).port}/stock`),
    async stop() {
      clearInterval(refresh)
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function fetchList(brokerUrl: string): Promise<string> {
  return (await fetch(new URL('/v1/crl.pem', brokerUrl))).text()
}

/** What the server answers to a client with this certificate. @throws {Error} if it refuses it */
export async function askApi(url: URL, { certificate, chain, ca, privateKey }: Certificate): Promise<string> {
  const outgoing = httpsRequest(url, {
    cert: certificate + chain,
    key: privateKey,
    ca,
    agent: false,
    family: 4,
  })
  outgoing.end()
  const [response] = await once(outgoing, 'response')
  return text(response)
}
