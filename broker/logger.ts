import { pino, type Logger as PinoLogger, type LoggerOptions } from 'pino'

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

const options: LoggerOptions = {
  base: null,
  timestamp: () => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (label) => ({ level: label }) },
  redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
}

/** JSON lines on standard error: standard output belongs to what a command was asked for. */
export function createLogger(level: LogLevel): Logger {
  return pino({ ...options, level }, process.stderr)
}
