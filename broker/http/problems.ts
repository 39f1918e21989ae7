import type { Response } from 'express'
import type { BrokerError, ErrorCode } from '../errors.ts'

/** The HTTP status of every code. https://www.rfc-editor.org/rfc/rfc9110#section-15 */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  unauthenticated: 401,
  denied: 403,
  not_found: 404,
  method_not_allowed: 405,
  task_exists: 409,
  task_not_open: 409,
  not_renewable: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  idempotency_key_reused: 422,
  rate_limited: 429,
  quota_exceeded: 429,
  headers_too_large: 431,
  internal: 500,
  backend_failed: 502,
  backend_unavailable: 503,
  store_unavailable: 503,
  overloaded: 503,
  backend_timeout: 504,
}

const TITLE: Readonly<Record<ErrorCode, string>> = {
  invalid_request: 'The request is not valid',
  unauthenticated: 'The caller is not authenticated',
  denied: 'Policy does not allow this',
  not_found: 'There is no such thing',
  method_not_allowed: 'This method is not served here',
  task_exists: 'An open task has this key',
  task_not_open: 'The task is not open',
  not_renewable: 'The grant cannot be renewed',
  payload_too_large: 'The body is too large',
  unsupported_media_type: 'The body must be application/json',
  idempotency_key_reused: 'The Idempotency-Key belongs to another request',
  rate_limited: 'Too many requests',
  quota_exceeded: 'Too many live grants',
  headers_too_large: 'The headers are too large',
  internal: 'Something went wrong here',
  backend_failed: 'The backend refused',
  backend_unavailable: 'The backend cannot be reached',
  store_unavailable: 'The store cannot be reached',
  overloaded: 'The broker has too much to do',
  backend_timeout: 'The backend did not answer in time',
}

/** The body of an `application/problem+json` answer. https://www.rfc-editor.org/rfc/rfc9457#section-3 */
export function problemOf(error: BrokerError, requestId: string): Record<string, unknown> {
  return {
    ...error.details,
    type: 'about:blank',
    title: TITLE[error.code],
    status: STATUS[error.code],
    code: error.code,
    // What went wrong inside is for the log, under this request's id.
    ...(error.code === 'internal' ? {} : { detail: error.message }),
    ...(error.errors.length > 0 ? { errors: error.errors } : {}),
    requestId,
  }
}

export function sendProblem(response: Response, error: BrokerError, requestId: string): void {
  if (error.retryAfterSeconds !== undefined)
    response.setHeader('Retry-After', String(error.retryAfterSeconds))
  if (error.code === 'unauthenticated') response.setHeader('WWW-Authenticate', 'Bearer realm="taskgrant"')
  response
    .status(STATUS[error.code])
    .setHeader('Cache-Control', 'no-store')
    .type('application/problem+json')
    .send(JSON.stringify(problemOf(error, requestId)))
}
