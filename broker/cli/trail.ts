import type { Command } from 'commander'
import { groupBy } from '../group-by.ts'
import type { AuditEvent } from './api-types.ts'
import { connect, withConnection, type ConnectionOptions } from './credentials.ts'
import { accessOf, detailOf, performerOf, timeOf } from './event-text.ts'
import { note, print, printJson, printTable } from './output.ts'
import { collect } from './pages.ts'
import { parseId } from './parse-arguments.ts'
import type { Column } from './table.ts'

const COLUMNS: readonly Column<AuditEvent>[] = [
  { title: 'TIME (UTC)', value: (event) => timeOf(event).slice(11, -1), fit: 'keep' },
  { title: 'EVENT', value: ({ type }) => type, fit: 'keep' },
  { title: 'BY', value: performerOf, fit: 'keep' },
  { title: 'ACCESS', value: accessOf, fit: 'keep' },
  // Whole, though it may wrap: it holds the policies that decided.
  { title: 'DETAIL', value: detailOf, fit: 'keep' },
]

export function trailCommand(program: Command): void {
  const command = program
    .command('trail')
    .summary('the audit events of one task')
    .description(
      'Show the trail of a task: who asked for what, under which rule, and what became of it, in order.',
    )
    .argument('<task>', 'its id', parseId)
    .option('--json', 'print JSON: { "items", "next" }')
    .addHelpText(
      'after',
      "\nExamples:\n  taskgrant trail TASK\n  taskgrant trail TASK --json | jq '.items[].policies'\n",
    )
  withConnection(command).action(async (id: string, options: ConnectionOptions & { json?: true }) => {
    const api = await connect(options)
    const page = await collect<AuditEvent>(api, `/v1/tasks/${id}/trail`, {}, Infinity)
    if (options.json === true) printJson(page)
    else printTrail(page.items)
  })
}

/** By day, to leave the width of the date to what matters more. */
function printTrail(events: readonly AuditEvent[]): void {
  const days = groupBy(events, (event) => timeOf(event).slice(0, 10))
  for (const [day, ofDay] of days) {
    print(day)
    printTable(ofDay, COLUMNS, '')
  }
  if (days.size === 0) note('The trail is empty.')
}
