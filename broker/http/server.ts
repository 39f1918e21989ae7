import { createServer as createHttpServer, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { v7 as uuidv7 } from 'uuid'
import { BrokerError, StartupError } from '../errors.ts'
import { problemOf, STATUS } from './problems.ts'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  /** PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
}

export interface Listener extends AsyncDisposable {
  readonly url: string
  /** Stops accepting, lets what is in progress finish, and ends what is left after `graceMs`. */
  close(graceMs: number): Promise<void>
}

const MAX_CONNECTIONS = 10_000
const LIMITS = {
  maxHeaderSize: 32 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 20_000,
  connectionsCheckingInterval: 2_000,
}

/** Starts to serve. @throws {StartupError} if the address is taken or the certificate does not load */
export async function listen(app: RequestListener, options: ListenOptions): Promise<Listener> {
  const { host, port, tls } = options
  const server = createServer(app, tls)
  server.maxHeadersCount = 100
  server.maxConnections = MAX_CONNECTIONS
  server.on('clientError', answerMalformed)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is taken; choose another one' : error.message
      reject(new StartupError(`cannot listen on ${host}:${port}: ${why}`))
    })
    server.listen({ host, port }, resolve)
  })
  // The server listens on TCP, so it has an address with a port.
  const address = server.address() as AddressInfo
  const shownHost = host.includes(':') ? `[${host}]` : host
  const close = (graceMs: number): Promise<void> => closeServer(server, graceMs)
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${shownHost}:${address.port}`,
    close,
    [Symbol.asyncDispose]: () => close(0),
  }
}

function createServer(app: RequestListener, tls: ListenOptions['tls']): Server {
  if (tls === undefined) return createHttpServer(LIMITS, app)
  try {
    return createHttpsServer({ ...LIMITS, ...tls, minVersion: 'TLSv1.2' }, app)
  } catch (error) {
    throw new StartupError('listen.tls: the certificate or its key does not load', [], { cause: error })
  }
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  // A connection that is kept alive becomes idle only after its answer.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearInterval(idle)
  clearTimeout(timer)
}

/** Answers what is not HTTP enough to reach the application. */
function answerMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new BrokerError('headers_too_large', 'the headers are over 32 KiB')
      : new BrokerError('invalid_request', 'the request is malformed or came too slowly')
  const body = JSON.stringify(problemOf(problem, uuidv7()))
  const status = STATUS[problem.code]
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
  )
}
