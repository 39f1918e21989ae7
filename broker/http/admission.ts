import { BrokerError } from '../errors.ts'

/**
 * How many requests may be in progress. Minting has less than all, so that ending access always finds a place; and so
 * have those that wait for access to end: they are answered with what is outstanding instead.
 */
const LIMITS = { all: 1_024, minting: 512, waiting: 256 } as const

export type Kind = 'plain' | 'minting' | 'waiting'

export interface Place extends Disposable {
  readonly mayWait: boolean
}

export interface Admission {
  /** Takes a place, given back on disposal. @throws {BrokerError} `overloaded` */
  enter(kind: Kind): Place
}

export function createAdmission(): Admission {
  let all = 0
  let minting = 0
  let waiting = 0
  return {
    enter(kind) {
      if (all >= LIMITS.all || (kind === 'minting' && minting >= LIMITS.minting)) {
        throw new BrokerError('overloaded', 'too many requests are in progress', { retryAfterSeconds: 1 })
      }
      const mayWait = kind === 'waiting' && waiting < LIMITS.waiting
      all += 1
      if (kind === 'minting') minting += 1
      if (mayWait) waiting += 1
      return {
        mayWait,
        [Symbol.dispose]() {
          all -= 1
          if (kind === 'minting') minting -= 1
          if (mayWait) waiting -= 1
        },
      }
    },
  }
}
