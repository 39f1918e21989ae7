/** The stable codes of everything that can go wrong for a caller. Documented in README and OpenAPI. */
export type ErrorCode =
  | 'invalid_request'
  | 'unauthenticated'
  | 'denied'
  | 'not_found'
  | 'method_not_allowed'
  | 'task_exists'
  | 'task_not_open'
  | 'not_renewable'
  | 'idempotency_key_reused'
  | 'payload_too_large'
  | 'headers_too_large'
  | 'unsupported_media_type'
  | 'rate_limited'
  | 'quota_exceeded'
  | 'internal'
  | 'backend_failed'
  | 'backend_unavailable'
  | 'store_unavailable'
  | 'overloaded'
  | 'backend_timeout'

/** One thing wrong with one value of a request or of the configuration. */
export interface Flaw {
  /** Where it is, dot-separated from the top: `grants.0.ttlSeconds`. Empty for the whole. */
  readonly path: string
  readonly message: string
}

export interface BrokerErrorOptions {
  readonly cause?: unknown
  readonly errors?: readonly Flaw[]
  /** When a retry makes sense, in whole seconds from now. */
  readonly retryAfterSeconds?: number
  /** Further members for the caller; never a secret. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * The one error that callers are told about. Its message is written for them: it holds no secret, no SQL and no
 * text of a backend that an adapter has not sanitised.
 */
export class BrokerError extends Error {
  readonly code: ErrorCode
  readonly errors: readonly Flaw[]
  readonly retryAfterSeconds: number | undefined
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: BrokerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BrokerError'
    this.code = code
    this.errors = options.errors ?? []
    this.retryAfterSeconds = options.retryAfterSeconds
    this.details = options.details ?? {}
  }
}

/** A start that cannot succeed until a person changes something: wrong configuration, a store that is not ours. */
export class StartupError extends Error {
  readonly flaws: readonly Flaw[]

  constructor(message: string, flaws: readonly Flaw[] = [], options?: ErrorOptions) {
    super(message, options)
    this.name = 'StartupError'
    this.flaws = flaws
  }
}

/** The message of anything thrown, for logs and for `cause` chains that end in a string. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
