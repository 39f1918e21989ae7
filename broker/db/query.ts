import type pg from 'pg'
import { BrokerError } from '../errors.ts'
import { queryables, type Session } from './database.ts'
import { storeError } from './store-error.ts'

/** One statement of a store. A `name` makes it prepared once per connection: for the hot ones. */
export interface Statement {
  readonly name?: string
  readonly text: string
}

/**
 * Runs one statement with its values as parameters.
 *
 * @throws {BrokerError} `store_unavailable`, or `internal` with the database's error as its cause
 */
export async function run<Row extends pg.QueryResultRow>(
  session: Session,
  statement: Statement,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const queryable = queryables.get(session)
  if (queryable === undefined) throw new BrokerError('internal', 'this session is not one of the store')
  try {
    const result = await queryable.query<Row>({ ...statement, values: [...values] })
    return result.rows
  } catch (error) {
    throw storeError(error)
  }
}
