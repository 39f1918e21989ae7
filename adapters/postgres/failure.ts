import pg from 'pg'
import { AdapterError, type AdapterFailure } from '../../broker/adapter.ts'

/** Raised by our own statements; the class `TG` is none of PostgreSQL's. */
export const STATE = {
  tooLate: 'TG001',
  notAlive: 'TG002',
  undefinedObject: '42704',
  insufficientPrivilege: '42501',
  dependentObjects: '2BP01',
  queryCanceled: '57014',
} as const

/** What to tell of an error of the server, in our words: its own may quote statements and data. */
const SENTENCES: Readonly<Record<string, string>> = {
  [STATE.tooLate]:
    'the server received the order too late; if that happens often, its clock differs from that of the store',
  [STATE.notAlive]: 'the user is not there any more, or may not log in',
  [STATE.undefinedObject]: 'a role that is needed does not exist on the server',
  [STATE.insufficientPrivilege]: 'the administrator lacks a privilege on the server',
  [STATE.dependentObjects]: 'it still owns objects or holds privileges',
  [STATE.queryCanceled]: 'the server did not finish in time',
  '42710': 'a user of this name exists on the server already',
  '55P03': 'another transaction holds a lock that is needed',
  '55000': 'the server is not in a state to do this',
  '40P01': 'another transaction holds a lock that is needed',
  '53100': 'the disk of the server is full',
  '53200': 'the server is out of memory',
  '53300': 'the server has no connection left',
  '57P01': 'the server ended the connection',
  '57P02': 'the server has crashed and restarts',
  '57P03': 'the server is starting or stopping',
  '28P01': 'the server refuses the password of the administrator',
  '28000': 'the server does not let the administrator in',
  '3D000': 'the database does not exist on the server',
  '25006': 'the server is read-only: a standby?',
}

const UNAVAILABLE = /^(08|53|57P0|25006|28)/

/** An error of the server, or of the way to it. */
export class ServerError extends AdapterError {
  /** The SQLSTATE, if the server itself said no. */
  readonly state: string | undefined

  constructor(
    failure: AdapterFailure,
    message: string,
    options: { settled: boolean; state?: string | undefined },
  ) {
    super(failure, message, { settled: options.settled })
    this.name = 'ServerError'
    this.state = options.state
  }

  /** The server said no to this statement, or it was too late to send it; nothing is wrong with the server. */
  get isRefusal(): boolean {
    if (this.state === undefined) return this.failure === 'timeout' && this.settled
    return !UNAVAILABLE.test(this.state)
  }
}

export function timeIsOver(settled: boolean): ServerError {
  return new ServerError('timeout', 'the server did not answer in time', { settled })
}

export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

/** Nothing was sent that could take hold. */
export function connectFailure(error: unknown): ServerError {
  const state = sqlState(error)
  if (state === STATE.insufficientPrivilege) {
    return new ServerError('failed', 'the administrator may not connect to the database', {
      settled: true,
      state,
    })
  }
  if (state !== undefined) return refusal(state, true)
  return new ServerError('unavailable', `the server cannot be reached: ${reasonOf(error)}`, { settled: true })
}

export function statementFailure(error: unknown): ServerError {
  const state = sqlState(error)
  if (state === undefined) {
    return new ServerError('unavailable', 'the connection to the server was lost', { settled: false })
  }
  // A session that is being ended says nothing about a commit that came just before.
  return refusal(state, !state.startsWith('57P0'))
}

function refusal(state: string, settled: boolean): ServerError {
  const message = SENTENCES[state] ?? `the server refused (SQLSTATE ${state})`
  if (state === STATE.queryCanceled || state === '55P03') {
    return new ServerError('timeout', message, { settled, state })
  }
  return new ServerError(UNAVAILABLE.test(state) ? 'unavailable' : 'failed', message, { settled, state })
}

/** Codes of Node.js and OpenSSL are ours to quote; messages are not, as they may hold what the server sent. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (message === 'The server does not support SSL connections') {
    return 'it offers no TLS; to go without, set tls.mode to plaintext'
  }
  if (code === undefined) return /timeout/i.test(message) ? 'it did not answer in time' : 'it does not answer'
  return /CERT|ISSUER|SSL|TLS|SIGNATURE/.test(code) ? `its certificate is not accepted (${code})` : code
}
