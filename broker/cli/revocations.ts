import { Option, type Command } from 'commander'
import type { Revocation } from './api-types.ts'
import { connect, withConnection, type ConnectionOptions } from './credentials.ts'
import { note, print, printJson } from './output.ts'
import { parseWait } from './parse-arguments.ts'

interface CreateOptions extends ConnectionOptions {
  readonly workload?: string
  readonly onBehalfOf?: string
  readonly resource?: string
  readonly all?: true
  readonly reason: string
  readonly wait: number
  readonly json?: true
}

export function revocationsCommand(program: Command): void {
  const revocations = program
    .command('revocations')
    .summary('end everything of a workload, user or resource')
    .description('Revocations: for when something has gone wrong, and access has to end at once.')
  const command = revocations
    .command('create')
    .description(
      'End the access of everything that the one of --workload, --on-behalf-of, --resource or --all names.',
    )
    .addOption(
      new Option('--workload <id>', 'all tasks of this workload').conflicts([
        'onBehalfOf',
        'resource',
        'all',
      ]),
    )
    .addOption(new Option('--on-behalf-of <id>', 'all tasks for this user').conflicts(['resource', 'all']))
    .addOption(
      new Option('--resource <name>', 'all grants of this resource; its tasks stay open').conflicts(['all']),
    )
    .option('--all', 'all tasks of everyone')
    .requiredOption('--reason <text>', 'why; goes into the audit')
    .option('--wait <duration>', 'how long to wait for access to end', parseWait, 30)
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
  withConnection(command).action(async (options: CreateOptions) => {
    const target = targetOf(options)
    if (target === undefined) {
      command.error('error: name one of --workload, --on-behalf-of, --resource or --all')
    }
    const api = await connect(options)
    const { reason, wait: waitSeconds } = options
    const { body } = await api.post<Revocation>('/v1/revocations', { ...target, reason }, { waitSeconds })
    report(body, options.json === true)
  })
}

function targetOf({ workload, onBehalfOf, resource, all }: CreateOptions): object | undefined {
  if (workload !== undefined) return { workload }
  if (onBehalfOf !== undefined) return { onBehalfOf }
  if (resource !== undefined) return { resource }
  return all === true ? { all } : undefined
}

function report(revocation: Revocation, json: boolean): void {
  const { tasks, grants, outstanding } = revocation
  if (outstanding > 0) process.exitCode = 1
  if (json) {
    printJson(revocation)
    return
  }
  print(`Tasks told to end: ${tasks}. Grants withdrawn: ${grants - outstanding} of ${grants}.`)
  if (outstanding > 0) {
    print(`${outstanding} may still open something.`)
    note('The broker keeps trying. Watch: taskgrant grants list --state revoking')
  }
}

const EXAMPLES = `
Examples:
  taskgrant revocations create --workload mcp-orders --reason "key leaked"
  taskgrant revocations create --resource shop-db --reason "moving the database"

What is opened afterwards is not affected: change the policies to keep it from coming back.
Exits with 1 if something may still be open.
`
