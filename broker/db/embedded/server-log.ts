import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Secret } from '../../secret.ts'

const KEPT_LINES = 20

export interface ServerLog {
  /** The last lines, for an error message. */
  tail(): string
  includes(text: string): boolean
}

/** Reads all that the server writes: it would stop at a pipe that nobody empties. */
export function readServerLog(
  stream: Readable,
  password: Secret<string>,
  onLine: ((line: string) => void) | undefined,
): ServerLog {
  const kept: string[] = []
  createInterface({ input: stream }).on('line', (raw) => {
    const line = raw.replaceAll(password.reveal(), '[secret]')
    kept.push(line)
    if (kept.length > KEPT_LINES) kept.shift()
    onLine?.(line)
  })
  return {
    tail: () => kept.join('\n'),
    includes: (text) => kept.some((line) => line.includes(text)),
  }
}
