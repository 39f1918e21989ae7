import { BrokerError } from '../errors.ts'

/** How many requests may be in progress. Minting has less than all, so that ending access always finds a place. */
const LIMITS = { all: 1_024, minting: 512 } as const

export interface Admission {
  /** Takes a place, given back on disposal. @throws {BrokerError} `overloaded` */
  enter(mints: boolean): Disposable
}

export function createAdmission(): Admission {
  let all = 0
  let minting = 0
  return {
    enter(mints) {
      if (all >= LIMITS.all || (mints && minting >= LIMITS.minting)) {
        throw new BrokerError('overloaded', 'too many requests are in progress', { retryAfterSeconds: 1 })
      }
      all += 1
      if (mints) minting += 1
      return {
        [Symbol.dispose]() {
          all -= 1
          if (mints) minting -= 1
        },
      }
    },
  }
}
