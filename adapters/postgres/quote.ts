import pg from 'pg'

/** The one place where a name becomes part of SQL. */
export function quoteIdentifier(name: string): string {
  return pg.escapeIdentifier(name)
}

/** For values where Postgres takes no parameters: the statements that define roles. */
export function quoteLiteral(value: string): string {
  return pg.escapeLiteral(value)
}
