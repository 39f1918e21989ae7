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

/**
 * A condition for every filter that was given. Values become parameters, numbered from the first one on.
 *
 * @param conditions SQL with `?` for the value, and the value; undefined leaves the condition out
 */
export function filtered(
  conditions: readonly (readonly [sql: string, value: unknown])[],
  firstParameter = 1,
): { readonly where: string; readonly values: readonly unknown[] } {
  const given = conditions.filter(([, value]) => value !== undefined)
  const parts = given.map(([sql], index) => sql.replace('?', `$${firstParameter + index}`))
  return { where: parts.length === 0 ? 'true' : parts.join(' and '), values: given.map(([, value]) => value) }
}
