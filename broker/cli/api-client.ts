import { request as requestHttp, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { text } from 'node:stream/consumers'
import type { Secret } from '../secret.ts'
import { packageVersion } from '../version.ts'
import { apiError } from './api-error.ts'
import { connectionError } from './connection-error.ts'

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface ApiAnswer<Body> {
  readonly status: number
  readonly body: Body
}

/** @throws {ApiError} the broker said no · {ConnectionError} it could not be asked, or did not answer */
export interface ApiClient {
  readonly origin: string
  get<Body>(path: string, query?: Query): Promise<ApiAnswer<Body>>
  /** `waitSeconds` in the query is added to the time that the answer may take. */
  post<Body>(path: string, body: unknown, query?: Query): Promise<ApiAnswer<Body>>
}

export interface ApiClientOptions {
  readonly url: URL
  /** Asked before every call, for a command may outlive a token. */
  readonly token: () => Promise<Secret<string>>
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string | undefined
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 30_000

interface Outgoing {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly query: Query
  readonly body?: unknown
}

export function createApiClient(options: ApiClientOptions): ApiClient {
  const origin = options.url.href.replace(/\/+$/, '')

  async function call<Body>({ method, path, query, body }: Outgoing): Promise<ApiAnswer<Body>> {
    const url = new URL(origin + path)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${(await options.token()).reveal()}`,
      'user-agent': `taskgrant-cli/${packageVersion()}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const timeoutMs = (options.timeoutMs ?? TIMEOUT_MS) + Number(query['waitSeconds'] ?? 0) * 1000
    const received = await exchange({ url, method, headers, ca: options.ca, timeoutMs }, body).catch(
      (error: unknown) => {
        throw connectionError(error, origin)
      },
    )
    const contentType = received.contentType
    if (received.status >= 300 || !contentType.startsWith('application/json')) {
      throw apiError({ origin, ...received })
    }
    // The schemas of the answers are those of the broker itself.
    return { status: received.status, body: JSON.parse(received.text) as Body }
  }

  return {
    origin,
    get: (path, query = {}) => call({ method: 'GET', path, query }),
    post: (path, body, query = {}) => call({ method: 'POST', path, query, body }),
  }
}

interface Exchange {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly ca: string | undefined
  readonly timeoutMs: number
}

interface Received {
  readonly status: number
  readonly contentType: string
  readonly retryAfter: string | undefined
  readonly text: string
}

/** Follows no redirect: the token is for this origin. */
async function exchange({ url, method, headers, ca, timeoutMs }: Exchange, body: unknown): Promise<Received> {
  const signal = AbortSignal.timeout(timeoutMs)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request =
      url.protocol === 'https:'
        ? // Said, so that NODE_TLS_REJECT_UNAUTHORIZED=0 does not unsay it.
          requestHttps(url, { method, headers, signal, ca, rejectUnauthorized: true }, resolve)
        : requestHttp(url, { method, headers, signal }, resolve)
    request.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error))
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
  return {
    status: response.statusCode ?? 0,
    contentType: response.headers['content-type'] ?? '',
    retryAfter: response.headers['retry-after'],
    text: await text(response),
  }
}
