import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { connectFailure, statementFailure } from '../../adapters/postgres/failure.ts'

function databaseError(code: string): pg.DatabaseError {
  const error = new pg.DatabaseError('column "hunter2" does not exist', 10, 'error')
  return Object.assign(error, {
    code,
    detail: 'Key (password)=(hunter2)',
    internalQuery: `create role x password 'hunter2'`,
  })
}

describe('failures of a postgres backend', () => {
  it.each(['42704', '42501', '23505', 'XX000', '57014', '53300', '28P01', 'TG001'])(
    'are told in words of our own: %s',
    (code) => {
      for (const failure of [statementFailure(databaseError(code)), connectFailure(databaseError(code))]) {
        expect(
          `${failure.message} ${failure.stack} ${JSON.stringify(failure)} ${String(failure.cause)}`,
        ).not.toContain('hunter2')
        expect(failure.state).toBe(code)
      }
    },
  )

  it('are settled unless the statement may have taken hold', () => {
    expect(connectFailure(new Error('timeout expired')).settled).toBe(true)
    expect(connectFailure(databaseError('57P01')).settled).toBe(true)
    expect(statementFailure(databaseError('42501')).settled).toBe(true)
    expect(statementFailure(databaseError('57014')).settled).toBe(true)
    expect(statementFailure(databaseError('57P01')).settled).toBe(false)
    expect(statementFailure(new Error('Connection terminated unexpectedly')).settled).toBe(false)
  })

  it('say what kind they are', () => {
    expect(statementFailure(databaseError('57014')).failure).toBe('timeout')
    expect(statementFailure(databaseError('55P03')).failure).toBe('timeout')
    expect(statementFailure(databaseError('53300')).failure).toBe('unavailable')
    expect(statementFailure(databaseError('08006')).failure).toBe('unavailable')
    expect(statementFailure(databaseError('42501')).failure).toBe('failed')
    expect(connectFailure(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toMatchObject({
      failure: 'unavailable',
      message: 'the server cannot be reached: ECONNREFUSED',
    })
  })
})
