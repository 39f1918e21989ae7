import { plainJson, plainLine, plainLines } from './plain-text.ts'
import { formatTable, type Column } from './table.ts'

/** The terminal's width; without a terminal, no limit, so that a program finds whole values. */
function outputWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns : Infinity
}

export function print(text: string): void {
  process.stdout.write(`${plainLines(text)}\n`)
}

/** For a person beside the output: programs do not see it. */
export function note(text: string): void {
  process.stderr.write(`${plainLines(text)}\n`)
}

export function printJson(value: unknown): void {
  process.stdout.write(`${plainJson(value, 2)}\n`)
}

/** One value per line, for what never ends. https://jsonlines.org */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${plainJson(value)}\n`)
}

/** A table; if it would be empty, `nothing` beside the output. */
export function printTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  nothing: string,
): void {
  if (rows.length === 0) note(nothing)
  else process.stdout.write(formatTable(rows, columns, outputWidth()))
}

/** The members of one thing, one a line. What is null is left out. */
export function printFacts(facts: Readonly<Record<string, string | null>>): void {
  const present = Object.entries(facts).filter(([, value]) => value !== null && value !== '')
  const width = Math.max(...present.map(([name]) => name.length))
  for (const [name, value] of present) {
    process.stdout.write(`${name.padEnd(width)}  ${plainLine(value ?? '')}\n`)
  }
}
