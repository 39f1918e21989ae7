import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface StubRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface StubAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

export interface HttpStub extends AsyncDisposable {
  readonly url: string
  readonly requests: readonly StubRequest[]
}

/** A server on 127.0.0.1 that answers as it is told and remembers what it was asked. */
export async function startHttpStub(
  answer: (request: StubRequest) => StubAnswer | undefined | Promise<StubAnswer | undefined>,
): Promise<HttpStub> {
  const requests: StubRequest[] = []
  const server = createServer((incoming, response) => {
    void (async () => {
      const request = {
        method: incoming.method ?? '',
        url: incoming.url ?? '',
        headers: incoming.headers,
        body: await text(incoming),
      }
      requests.push(request)
      const given = await answer(request)
      // Undefined leaves the caller waiting.
      if (given === undefined) return
      const { status = 200, headers = {}, body = null } = given
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    })()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
