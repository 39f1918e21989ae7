import { Option, type Command } from 'commander'
import type { Ending, Task, TaskWithGrants } from './api-types.ts'
import { connect, withConnection, type ConnectionOptions } from './credentials.ts'
import { reportEnding } from './ending.ts'
import { GRANT_COLUMNS } from './grant-table.ts'
import { print, printFacts, printJson, printTable } from './output.ts'
import { printPage, withPage, type PageOptions } from './page-output.ts'
import { collect } from './pages.ts'
import { parseId, parseWait } from './parse-arguments.ts'
import type { Column } from './table.ts'
import { momentOf, roughTime } from './times.ts'

export function tasksCommand(program: Command): void {
  const tasks = program
    .command('tasks')
    .summary('list, show, end and revoke tasks')
    .description('Tasks: one piece of work of an agent each, with the credentials that were minted for it.')
  listCommand(tasks)
  showCommand(tasks)
  endCommand(tasks)
  revokeCommand(tasks)
}

const COLUMNS: readonly Column<Task>[] = [
  { title: 'TASK', value: ({ id }) => id, fit: 'keep' },
  { title: 'STATE', value: ({ state }) => state, fit: 'keep' },
  { title: 'OVER', value: ({ endedAt, expiresAt }) => roughTime(endedAt ?? expiresAt), fit: 'keep' },
  { title: 'WORKLOAD', value: ({ workload }) => workload.id, fit: 'cut' },
  { title: 'PURPOSE', value: ({ purpose }) => purpose, fit: 'cut' },
  { title: 'ON BEHALF OF', value: ({ onBehalfOf }) => onBehalfOf?.id ?? '', fit: 'drop' },
]

interface ListOptions extends ConnectionOptions, PageOptions {
  readonly state?: string
  readonly workload?: string
  readonly onBehalfOf?: string
  readonly key?: string
}

function listCommand(tasks: Command): void {
  const command = tasks
    .command('list')
    .description('List tasks, newest first. You see your own, or all if policy lets you read them.')
    .addOption(new Option('--state <state>', 'only these').choices(['open', 'ending', 'ended']))
    .option('--workload <id>', 'only of this workload')
    .option('--on-behalf-of <id>', 'only for this user')
    .option('--key <key>', "only with this name of the caller's own")
    .addHelpText(
      'after',
      '\nExamples:\n  taskgrant tasks list --state open\n  taskgrant tasks list --workload mcp-orders --json\n',
    )
  withConnection(withPage(command)).action(async (options: ListOptions) => {
    const api = await connect(options)
    const { state, workload, onBehalfOf, key, after, limit } = options
    const page = await collect<Task>(api, '/v1/tasks', { state, workload, onBehalfOf, key, after }, limit)
    printPage(page, COLUMNS, 'No such tasks.', options)
  })
}

function showCommand(tasks: Command): void {
  const command = tasks
    .command('show')
    .description('Show one task with its grants.')
    .argument('<task>', 'its id', parseId)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nIts whole story, in order:\n  taskgrant trail TASK\n')
  withConnection(command).action(async (id: string, options: ConnectionOptions & { json?: true }) => {
    const api = await connect(options)
    const { body } = await api.get<TaskWithGrants>(`/v1/tasks/${id}`)
    if (options.json === true) {
      printJson(body)
      return
    }
    printFacts(factsOf(body.task))
    print('')
    printTable(body.grants, GRANT_COLUMNS, 'It has no grants.')
  })
}

function factsOf(task: Task): Record<string, string | null> {
  return {
    task: task.id,
    state: task.endReason === null ? task.state : `${task.state} (${task.endReason})`,
    purpose: task.purpose,
    workload: task.workload.id,
    issuer: task.workload.issuer,
    'on behalf of': task.onBehalfOf === null ? null : `${task.onBehalfOf.id} (${task.onBehalfOf.issuer})`,
    actors: task.actors.map(({ subject }) => subject).join(' < '),
    key: task.key,
    labels: Object.entries(task.labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(', '),
    opened: momentOf(task.createdAt),
    expires: task.endedAt === null ? momentOf(task.expiresAt) : null,
    ended: momentOf(task.endedAt),
  }
}

interface EndOptions extends ConnectionOptions {
  readonly wait: number
  readonly json?: true
}

function withWait(command: Command): Command {
  return command
    .option('--wait <duration>', 'how long to wait for access to end', parseWait, 10)
    .option('--json', 'print JSON')
}

const EXIT_NOTE = '\nExits with 1 if something may still be open, and names it.\n'

function endCommand(tasks: Command): void {
  const command = tasks
    .command('end')
    .description('End a task of your own: its credentials are withdrawn, its open sessions closed.')
    .argument('<task>', 'its id', parseId)
    .addHelpText('after', EXIT_NOTE)
  withConnection(withWait(command)).action(async (id: string, options: EndOptions) => {
    const api = await connect(options)
    const { body } = await api.post<Ending>(`/v1/tasks/${id}/end`, undefined, { waitSeconds: options.wait })
    reportEnding(body, options.json === true)
  })
}

function revokeCommand(tasks: Command): void {
  const command = tasks
    .command('revoke')
    .description('End a task of anyone, as an administrator. The reason goes into its trail.')
    .argument('<task>', 'its id', parseId)
    .requiredOption('--reason <text>', 'why; 1 to 500 characters')
    .addHelpText('after', `\nExample:\n  taskgrant tasks revoke TASK --reason "incident 42"\n${EXIT_NOTE}`)
  withConnection(withWait(command)).action(async (id: string, options: EndOptions & { reason: string }) => {
    const api = await connect(options)
    const { reason, wait: waitSeconds } = options
    const { body } = await api.post<Ending>(`/v1/tasks/${id}/revoke`, { reason }, { waitSeconds })
    reportEnding(body, options.json === true)
  })
}
