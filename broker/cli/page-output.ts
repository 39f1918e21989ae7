import type { Command } from 'commander'
import type { Page } from './api-types.ts'
import { note, printJson, printTable } from './output.ts'
import { parseCount } from './parse-arguments.ts'
import type { Column } from './table.ts'

export interface PageOptions {
  readonly limit: number
  readonly after?: string
  readonly json?: true
}

const DEFAULT_LIMIT = 100

export function withPage(command: Command): Command {
  return command
    .option('--limit <count>', 'at most so many', parseCount, DEFAULT_LIMIT)
    .option('--after <cursor>', 'go on from the "next" of an earlier answer')
    .option('--json', 'print JSON: { "items", "next" }')
}

export function printPage<Item>(
  page: Page<Item>,
  columns: readonly Column<Item>[],
  nothing: string,
  { json }: PageOptions,
): void {
  if (json === true) {
    printJson(page)
    return
  }
  printTable(page.items, columns, nothing)
  if (page.next !== null) note(`There are more: --after ${page.next}, or a larger --limit.`)
}
