import pg from 'pg'

/** The one place where a name becomes part of SQL that is sent; inside `do` blocks it is `format('%I')`. */
export function quoteIdentifier(name: string): string {
  return pg.escapeIdentifier(name)
}

/** The one place where a value does. Statements that define roles take no parameters. */
export function quoteLiteral(value: string): string {
  return pg.escapeLiteral(value)
}

export function quoteOids(oids: readonly number[]): string {
  return `'{${oids.map((oid) => Math.trunc(oid)).join(',')}}'::oid[]`
}

/** A PL/pgSQL block that runs as one statement. */
export function doBlock(body: string): string {
  return `do ${quoteLiteral(body)}`
}
