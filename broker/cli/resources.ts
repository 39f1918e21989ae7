import type { Command } from 'commander'
import type { Page, Resource } from './api-types.ts'
import { connect, withConnection, type ConnectionOptions } from './credentials.ts'

import { printJson, printTable } from './output.ts'
import type { Column } from './table.ts'
import { formatDuration } from './times.ts'

interface AccessRow {
  readonly resource: Resource
  readonly access: string
  readonly maxTtlSeconds: number
}

const COLUMNS: readonly Column<AccessRow>[] = [
  { title: 'RESOURCE', value: ({ resource }) => resource.resource, fit: 'keep' },
  { title: 'ACCESS', value: ({ access }) => access, fit: 'keep' },
  { title: 'AT MOST', value: ({ maxTtlSeconds }) => formatDuration(maxTtlSeconds), fit: 'keep' },
  { title: 'ADAPTER', value: ({ resource }) => resource.adapter, fit: 'keep' },
  { title: 'REVOCATION', value: ({ resource }) => resource.guarantees.revocation, fit: 'drop' },
  { title: 'BACKEND EXPIRY', value: ({ resource }) => resource.guarantees.nativeExpiry, fit: 'drop' },
]

export function resourcesCommand(program: Command): void {
  const resources = program
    .command('resources')
    .summary('what you may ask for')
    .description('Resources: the configured backends, each with its levels of access.')
  const command = resources
    .command('list')
    .description('List what you may ask for, for how long at most, and what the backend guarantees.')
    .option('--json', 'print JSON: { "items", "next" }')
    .addHelpText(
      'after',
      '\nWith the dev broker, what another workload may ask for:\n  taskgrant resources list --as mcp-orders\n',
    )
  withConnection(command).action(async (options: ConnectionOptions & { json?: true }) => {
    const api = await connect(options)
    const { body } = await api.get<Page<Resource>>('/v1/resources')
    if (options.json === true) {
      printJson(body)
      return
    }
    const rows = body.items.flatMap((resource) => resource.access.map((access) => ({ resource, ...access })))
    printTable(rows, COLUMNS, 'Policy lets you ask for nothing.')
  })
}
