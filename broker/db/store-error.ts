import pg from 'pg'
import { BrokerError } from '../errors.ts'

/** SQLSTATEs that decide something here. https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const SQLSTATE = {
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  duplicateDatabase: '42P04',
} as const

const RETRYABLE = new Set<string>([SQLSTATE.serializationFailure, SQLSTATE.deadlockDetected])

/** Classes and codes that say "the store cannot serve now", not "the statement is wrong". */
const UNAVAILABLE = /^(08|53|57|58|25006|55P03)/

export function sqlState(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.code
  if (error instanceof Error && error.cause !== undefined) return sqlState(error.cause)
  return undefined
}

/** The constraint or index that a statement violated, by name. */
export function violated(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.constraint
  if (error instanceof Error && error.cause !== undefined) return violated(error.cause)
  return undefined
}

/** True if what was to be committed may have been, or not: nobody has said. */
export function isUnknownOutcome(error: unknown): boolean {
  return error instanceof BrokerError && error.code === 'store_unavailable'
}

/** True if Postgres rolled the transaction back and asks for it to be repeated. */
export function isRetryable(error: unknown): boolean {
  return RETRYABLE.has(sqlState(error) ?? '')
}

/**
 * What callers are told of a failed statement. Anything but an error of the statement itself means that the store
 * is out of reach: sockets, timeouts, shutdown, too many connections, read-only, full.
 */
export function storeError(error: unknown): BrokerError {
  const state = sqlState(error)
  if (state === undefined || UNAVAILABLE.test(state)) {
    return new BrokerError('store_unavailable', 'the store does not answer; try again', {
      cause: error,
      retryAfterSeconds: 2,
    })
  }
  return new BrokerError('internal', 'the store refused a statement', { cause: error })
}
