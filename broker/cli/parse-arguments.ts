import { InvalidArgumentError } from 'commander'
import { parseDurationSeconds } from '../clock.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function parseId(text: string): string {
  if (!UUID.test(text)) throw new InvalidArgumentError('expected an id as "list" shows it, a UUID')
  return text.toLowerCase()
}

export function parseCount(text: string): number {
  const count = Number(text)
  if (!/^\d{1,9}$/.test(text) || count < 1) throw new InvalidArgumentError('expected a number from 1')
  return count
}

export function parseSequence(text: string): number {
  const sequence = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(sequence)) {
    throw new InvalidArgumentError('expected the sequence number of an event')
  }
  return sequence
}

export function parseTtl(text: string): number {
  const seconds = parseDurationSeconds(text)
  if (seconds === undefined || seconds < 1) {
    throw new InvalidArgumentError('expected a duration such as 90s, 15m, 8h or 7d')
  }
  return seconds
}

const LONGEST_WAIT = 60

export function parseWait(text: string): number {
  const seconds = parseDurationSeconds(text)
  if (seconds === undefined || seconds > LONGEST_WAIT) {
    throw new InvalidArgumentError(
      `expected a duration of up to ${LONGEST_WAIT}s, such as 30s; 0s does not wait`,
    )
  }
  return seconds
}

/** A moment, or how long ago it was. */
export function parseMoment(text: string): string {
  const ago = parseDurationSeconds(text)
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago * 1000
  if (Number.isNaN(time)) {
    throw new InvalidArgumentError('expected a time such as 2026-01-31T12:00:00Z, or how long ago: 15m, 8h')
  }
  return new Date(time).toISOString()
}

/** For options that may be given several times. */
export function append(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}
