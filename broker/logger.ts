import { pino, type DestinationStream, type Logger as PinoLogger, type LoggerOptions } from 'pino'

export type Logger = PinoLogger

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * Names under which a secret could be logged by mistake. Secrets are wrapped (`Secret`), so this is the second
 * fence, not the first.
 */
const REDACTED = [
  'authorization',
  'password',
  'privateKey',
  'secretAccessKey',
  'sessionToken',
  'uri',
  'token',
  'cookie',
]

interface LoggedError {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  readonly cause?: LoggedError
}

/** These members and no other: what a library hangs on its errors (a connection, a request) is not for a log. */
function loggedError(thrown: unknown, depth = 0): LoggedError {
  if (!(thrown instanceof Error))
    return { type: typeof thrown, message: 'something that is no error was thrown' }
  const code = 'code' in thrown && typeof thrown.code === 'string' ? { code: thrown.code } : {}
  const cause =
    thrown.cause === undefined || depth >= 4 ? {} : { cause: loggedError(thrown.cause, depth + 1) }
  return { type: thrown.name, message: thrown.message, ...code, ...stackOf(thrown), ...cause }
}

function stackOf({ stack }: Error): { stack?: string } {
  return stack === undefined ? {} : { stack }
}

const options: LoggerOptions = {
  serializers: { err: (thrown: unknown) => loggedError(thrown) },
  base: null,
  timestamp: () => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (label) => ({ level: label }) },
  redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
}

/** JSON lines on standard error: standard output belongs to what a command was asked for. */
export function createLogger(level: LogLevel, to: DestinationStream = process.stderr): Logger {
  return pino({ ...options, level }, to)
}
