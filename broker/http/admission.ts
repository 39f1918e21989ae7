import { BrokerError } from '../errors.ts'

/**
 * How many requests may be in progress. Minting has less than all, so that ending access always finds a place; and so
 * have those that wait for access to end: they are answered with what is outstanding instead. What anybody may ask is
 * counted apart: it takes no place from the others.
 */
const LIMITS = { all: 1_024, minting: 512, waiting: 256, public: 512 } as const

export type Kind = 'plain' | 'minting' | 'waiting' | 'public'

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
  let open = 0
  const overloaded = (): BrokerError =>
    new BrokerError('overloaded', 'too many requests are in progress', { retryAfterSeconds: 1 })

  function enterPublic(): Place {
    if (open >= LIMITS.public) throw overloaded()
    open += 1
    return {
      mayWait: false,
      [Symbol.dispose]() {
        open -= 1
      },
    }
  }

  return {
    enter(kind) {
      if (kind === 'public') return enterPublic()
      if (all >= LIMITS.all || (kind === 'minting' && minting >= LIMITS.minting)) {
        throw overloaded()
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
