import { CommanderError } from 'commander'
import { BrokerError, StartupError } from '../errors.ts'
import { CliError } from './cli-error.ts'
import { plainLines } from './plain-text.ts'

export const EXIT = { failed: 1, usage: 2 } as const

/** Tells a person what failed, on standard error, and returns the exit code. */
export function reportFailure(error: unknown): number {
  // Commander has printed what it had to say.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
  process.stderr.write(`taskgrant: ${plainLines(describeFailure(error))}\n`)
  return EXIT.failed
}

export function describeFailure(error: unknown): string {
  if (error instanceof CliError) {
    return error.hint === undefined ? error.message : `${error.message}\n${error.hint}`
  }
  if (error instanceof StartupError) {
    const flaws = error.flaws.map(({ path, message }) => `  ${path === '' ? '(top)' : path}: ${message}`)
    return [error.message, ...flaws].join('\n')
  }
  if (error instanceof BrokerError) return `${error.message} (${error.code})`
  // Not foreseen: whoever reports it needs the place.
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
