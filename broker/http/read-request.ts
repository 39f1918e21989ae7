import type { Request } from 'express'
import type { z } from 'zod'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'

const MAX_DEPTH = 32
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/
/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/

/** The caller's own request id, if it can be logged as it is. */
export function requestIdOf(request: Request): string | undefined {
  const id = request.headers['x-request-id']
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : undefined
}

export function traceIdOf(request: Request): string | undefined {
  const header = request.headers['traceparent']
  return typeof header === 'string' ? TRACEPARENT.exec(header)?.[1] : undefined
}

/** The bearer token (RFC 6750 §2.1). @throws {BrokerError} `unauthenticated` */
export function bearerOf(request: Request): Secret<string> {
  const header = request.headers.authorization
  const token = /^bearer +([\w~+/.=-]+) *$/i.exec(header ?? '')?.[1]
  if (token === undefined) {
    throw new BrokerError('unauthenticated', 'send a token as "Authorization: Bearer …"')
  }
  return new Secret(token)
}

/** @throws {BrokerError} `invalid_request` */
export function idempotencyKeyOf(request: Request): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && IDEMPOTENCY_KEY.test(key)) return key
  const message = 'expected 1 to 128 visible ASCII characters'
  throw new BrokerError('invalid_request', 'a header is not valid', {
    errors: [{ path: 'Idempotency-Key', message }],
  })
}

/** @throws {BrokerError} `invalid_request` with every flaw */
export function validated(schema: z.ZodType | undefined, value: unknown, where: string): unknown {
  if (schema === undefined) return undefined
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new BrokerError('invalid_request', `the ${where} is not valid`, {
    errors: parsed.error.issues.slice(0, 50).map((issue) => ({
      path: issue.path.map(String).join('.').slice(0, 200),
      message: issue.message.slice(0, 500),
    })),
  })
}

/** @throws {BrokerError} `unsupported_media_type`, `invalid_request` */
export function jsonBodyOf(request: Request, body: unknown): unknown {
  if (body === undefined && hasBody(request)) {
    throw new BrokerError('unsupported_media_type', 'send the body as application/json, not encoded')
  }
  refuseOddNesting(body)
  return body
}

/** The bytes of a body that is no JSON. @throws {BrokerError} `unsupported_media_type` */
export function bytesOf(body: unknown, type: string): Uint8Array {
  if (body instanceof Uint8Array) return body
  throw new BrokerError('unsupported_media_type', `send the body as ${type}, not encoded`)
}

/** The parameters in the path; one that takes the rest of it came in pieces. */
export function pathParams(request: Request): Record<string, string> {
  const params: Record<string, string | string[]> = request.params
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, Array.isArray(value) ? value.join('/') : value]),
  )
}

function hasBody(request: Request): boolean {
  const length = request.headers['content-length']
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

/** Without recursion: the depth of the input must not become the depth of our stack. @throws {BrokerError} */
function refuseOddNesting(body: unknown): void {
  let level: unknown[] = [body]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) {
      throw new BrokerError('invalid_request', `the body is nested more than ${MAX_DEPTH} levels deep`)
    }
    const objects = level.filter((item) => typeof item === 'object' && item !== null)
    // Such a member would be dropped without a word further on.
    if (objects.some((item) => Object.hasOwn(item, '__proto__'))) {
      throw new BrokerError('invalid_request', 'the body has a member called __proto__')
    }
    level = objects.flatMap((item) => Object.values(item))
  }
}
