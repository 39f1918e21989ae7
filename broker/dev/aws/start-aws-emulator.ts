import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { StartupError } from '../../errors.ts'
import { openAccount } from './account.ts'
import { errorAnswer, type Answer } from './answers.ts'
import { serviceOf } from './authenticate.ts'
import { AwsError } from './aws-error.ts'
import { openFailures } from './failures.ts'
import type { AwsEmulator, EmulatorOptions, RecordedCall } from './options.ts'
import { serveCall, type Emulation } from './serve-call.ts'
import type { RawRequest } from './signature.ts'

const MAX_BODY_BYTES = 256 * 1024
const MAX_CALLS = 1000
const LIMITS = {
  maxHeaderSize: 32 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 20_000,
  connectionsCheckingInterval: 2_000,
}

/**
 * Starts what taskgrant needs of STS, IAM and S3, in memory and as strict as AWS: signatures, expiry, trust, session
 * policies and quotas count. Sessions end with it. @throws {StartupError, PolicyError}
 */
export async function startAwsEmulator(options: EmulatorOptions): Promise<AwsEmulator> {
  const account = openAccount(options)
  const calls: RecordedCall[] = []
  const failures = openFailures()
  const emulation: Emulation = {
    account,
    failures,
    record(call) {
      if (calls.push(call) > MAX_CALLS) calls.shift()
    },
  }
  const server = createServer(LIMITS, (incoming, response) => {
    void answer(emulation, incoming, response)
  })
  server.maxHeadersCount = 100
  server.maxConnections = 1000
  server.on('clientError', answerMalformed)
  await listen(server, options.port ?? 0)
  // The server listens on TCP, so it has an address with a port.
  const { port } = server.address() as AddressInfo

  const close = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    failNext: (action, failure, times = 1) => failures.add(action, failure, times),
    rolePolicies(name) {
      const role = account.roles.get(name)
      if (role === undefined) throw new TypeError(`there is no role ${name}`)
      return new Map(Array.from(role.inline, ([policy, { text }]) => [policy, text]))
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** @throws {StartupError} */
async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? ': the port is taken' : ''
    throw new StartupError(`the AWS emulator cannot listen on port ${port}${why}`, [], { cause: error })
  }
}

async function answer(
  emulation: Emulation,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const requestId = randomUUID()
  const body = await readBody(incoming)
  // The caller has gone.
  if (body === undefined) return
  const request: RawRequest = {
    method: incoming.method ?? '',
    target: incoming.url ?? '',
    headers: incoming.headersDistinct,
    body,
  }
  const service = serviceOf(request)
  try {
    if (body.length > MAX_BODY_BYTES) {
      throw new AwsError(413, 'RequestEntityTooLarge', 'The request entity is too large.')
    }
    const served = serveCall(emulation, service, request, requestId)
    if (served === 'hang') return
    if (served === 'lostAnswer') incoming.socket.destroy()
    else send(response, served, requestId, emulation.account.now())
  } catch (error) {
    const refusal =
      error instanceof AwsError ? error : new AwsError(500, 'InternalFailure', 'Internal failure')
    send(response, errorAnswer(service, refusal, requestId), requestId, emulation.account.now())
  }
}

/** Cut off soon after the limit; undefined if the caller goes away. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      if (length <= MAX_BODY_BYTES) chunks.push(chunk)
      length += chunk.length
    }
  } catch {
    return undefined
  }
  return Buffer.concat(chunks)
}

function send(response: ServerResponse, { status, contentType, body }: Answer, id: string, now: Date): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'x-amzn-requestid': id,
    'x-amz-request-id': id,
    // By this the SDK corrects its own clock.
    date: now.toUTCString(),
    'cache-control': 'no-store',
  })
  response.end(body)
}

/** Answers what is not HTTP enough to be a request. */
function answerMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const malformed = new AwsError(400, 'MalformedHttpRequestException', 'The request is malformed.')
  const { body, contentType } = errorAnswer('sts', malformed, randomUUID())
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: ${contentType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
