import { cutTo, displayWidth, plainLine } from './plain-text.ts'

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string
  /**
   * In a narrow terminal: `keep` stays whole, as an id that is copied must; `cut` gets shorter; `drop` is left out,
   * the last one first.
   */
  readonly fit: 'keep' | 'cut' | 'drop'
}

const GAP = '  '
const SHORTEST_CUT = 8

/** An aligned table, at most `width` columns wide where that is possible. */
export function formatTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number,
): string {
  const cells = columns.map((column) => ({
    fit: column.fit,
    lines: [column.title, ...rows.map((row) => plainLine(column.value(row)))],
  }))
  const laidOut = layOut(
    cells.map(({ fit, lines }) => ({ fit, lines, width: Math.max(...lines.map(displayWidth)) })),
    width,
  )
  return Array.from({ length: rows.length + 1 }, (_, index) =>
    laidOut
      .map((column) => pad(cutTo(column.lines[index] ?? '', column.width), column.width))
      .join(GAP)
      .trimEnd(),
  )
    .map((line) => `${line}\n`)
    .join('')
}

interface Cells {
  readonly fit: 'keep' | 'cut' | 'drop'
  readonly lines: readonly string[]
  readonly width: number
}

function layOut(columns: readonly Cells[], width: number): readonly Cells[] {
  const excess = total(columns) - width
  if (excess <= 0) return columns
  const cut = columns.map((column) => (column.fit === 'cut' ? cutTarget(column, columns, excess) : column))
  if (total(cut) <= width) return cut
  const last = columns.findLastIndex(({ fit }) => fit === 'drop')
  return last === -1 ? cut : layOut(columns.toSpliced(last, 1), width)
}

/** Shares the excess among the columns that can be cut, in proportion to what each can give. */
function cutTarget(column: Cells, columns: readonly Cells[], excess: number): Cells {
  const spare = (one: Cells): number => (one.fit === 'cut' ? Math.max(0, one.width - SHORTEST_CUT) : 0)
  const all = columns.reduce((sum, one) => sum + spare(one), 0)
  if (all === 0) return column
  const share = Math.min(spare(column), Math.ceil((excess * spare(column)) / all))
  return { ...column, width: column.width - share }
}

function total(columns: readonly Cells[]): number {
  return columns.reduce((sum, { width }) => sum + width, GAP.length * (columns.length - 1))
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}
