import pg from 'pg'
import { AdapterError } from '../../broker/adapter.ts'

/** Raised by our own statement when it arrives too late. */
export const TOO_LATE = 'TG001'

/** What to tell of an error of the server, in our words: its own may quote statements and data. */
const SENTENCES: Readonly<Record<string, string>> = {
  [TOO_LATE]:
    'the backend received the order too late; if that happens always, its clock differs from that of the store',
  '42704': 'a role that the access names does not exist on the backend',
  '42501':
    'the administrator lacks a privilege on the backend; see "Least privilege" in the adapter\'s README',
  '42710': 'a role of this name exists on the backend already',
  '53300': 'the backend has no connection left',
  '28P01': 'the backend does not accept the password of the administrator',
  '28000': 'the backend does not let the administrator in',
  '3D000': 'the database does not exist on the backend',
  '25006': 'the backend is read-only',
  '55P03': 'something on the backend holds a lock that is needed',
  '57014': 'the backend took too long',
  '2BP01': 'the role still owns something or is granted something',
}

const UNAVAILABLE = /^(08|53|57P0|25006|28)/

/** The SQLSTATE of an error that came from the server itself. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

/** What happened, in words that are fit for callers and the trail. */
export function describe(error: unknown): string {
  const state = sqlState(error)
  if (state === undefined) return 'the connection to the backend failed'
  return SENTENCES[state] ?? `the backend refused (SQLSTATE ${state})`
}

/** `sent`: the statement may have reached the server. */
export function toAdapterError(error: unknown, sent: boolean): AdapterError {
  if (error instanceof AdapterError) return error
  const state = sqlState(error)
  const message = describe(error)
  if (state === undefined) return new AdapterError('unavailable', message, { settled: !sent, cause: error })
  if (state === '57014') return new AdapterError('timeout', message, { settled: true, cause: error })
  const failure = UNAVAILABLE.test(state) ? 'unavailable' : 'failed'
  // The server ended the session while the statement ran: it says nothing about a commit.
  return new AdapterError(failure, message, { settled: !sent || !state.startsWith('57P0'), cause: error })
}
