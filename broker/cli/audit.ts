import { Option, type Command } from 'commander'
import { EVENT_TYPES } from '../audit/event.ts'
import { sleep } from '../clock.ts'
import type { ApiClient, Query } from './api-client.ts'
import { ApiError } from './api-error.ts'
import type { AuditEvent } from './api-types.ts'
import { findNewest } from './audit-end.ts'
import { ConnectionError } from './connection-error.ts'
import { connect, withConnection, type ConnectionOptions } from './credentials.ts'
import { eventLine } from './event-text.ts'
import { note, print, printJsonLine } from './output.ts'
import { collect } from './pages.ts'
import { parseCount, parseId, parseMoment, parseSequence } from './parse-arguments.ts'

interface TailOptions extends ConnectionOptions {
  readonly follow?: true
  readonly after?: number
  readonly limit: number
  readonly json?: true
  readonly task?: string
  readonly grant?: string
  readonly workload?: string
  readonly onBehalfOf?: string
  readonly resource?: string
  readonly type?: string
  readonly since?: string
  readonly until?: string
}

export function auditCommand(program: Command): void {
  const audit = program
    .command('audit')
    .summary('what happened, to all tasks')
    .description('The audit: what was asked, decided and done, in one order.')
  const command = audit
    .command('tail')
    .description('Show the newest events, or those after a sequence number or a time.')
    .option('-f, --follow', 'go on with what comes, until Ctrl-C')
    .option('--limit <count>', 'at most so many; does not bound --follow', parseCount, 20)
    .option('--after <seq>', 'the first ones after this sequence number', parseSequence)
    .option('--since <time>', 'the first ones since then: a time, or how long ago (15m, 8h)', parseMoment)
    .option('--until <time>', 'none later than this', parseMoment)
    .option('--task <id>', 'only of this task', parseId)
    .option('--grant <id>', 'only of this grant', parseId)
    .option('--workload <id>', 'only of this workload')
    .option('--on-behalf-of <id>', 'only for this user')
    .option('--resource <name>', 'only of this resource')
    .addOption(new Option('--type <type>', 'only of this type').choices(EVENT_TYPES))
    .option('--json', 'print JSON, one event per line')
    .addHelpText('after', EXAMPLES)
  withConnection(command).action(async (options: TailOptions) => tail(await connect(options), options))
}

async function tail(api: ApiClient, options: TailOptions): Promise<void> {
  const show = options.json === true ? printJsonLine : (event: AuditEvent) => print(eventLine(event))
  const filter = filterOf(options)
  const isForward = options.after !== undefined || options.since !== undefined
  // Found first, so that what happens meanwhile is not skipped by --follow.
  const newest = isForward ? 0 : await findNewest(api)
  const events = isForward
    ? (await collect<AuditEvent>(api, '/v1/audit', { ...filter, after: options.after }, options.limit)).items
    : await newestEvents(api, filter, newest, options.limit)
  for (const event of events) show(event)
  if (options.follow === true) {
    await follow(api, filter, Math.max(newest, options.after ?? 0, events.at(-1)?.seq ?? 0), show)
  } else if (events.length === 0) note('No such events.')
}

function filterOf({ task, grant, workload, onBehalfOf, resource, type, since, until }: TailOptions): Query {
  return { task, grant, workload, onBehalfOf, resource, type, since, until }
}

const WIDENING = 16

/** Looks back further and further until there are enough of those that the filter lets through. */
async function newestEvents(
  api: ApiClient,
  filter: Query,
  newest: number,
  limit: number,
): Promise<readonly AuditEvent[]> {
  for (let span = limit; ; span *= WIDENING) {
    const after = Math.max(0, newest - span)
    const { items } = await collect<AuditEvent>(api, '/v1/audit', { ...filter, after }, Infinity)
    if (items.length >= limit || after === 0) return items.slice(-limit)
  }
}

const LOOK_AGAIN_MS = 1_000
const RETRY_MS = 3_000

/** Outlives a restart of the broker. */
async function follow(
  api: ApiClient,
  filter: Query,
  start: number,
  show: (event: AuditEvent) => void,
): Promise<never> {
  let after = start
  let isAway = false
  for (;;) {
    try {
      const { items } = await collect<AuditEvent>(api, '/v1/audit', { ...filter, after }, Infinity)
      for (const event of items) show(event)
      after = Math.max(after, items.at(-1)?.seq ?? 0)
      isAway = false
      await sleep(LOOK_AGAIN_MS)
    } catch (error) {
      if (!isPassing(error)) throw error
      if (!isAway) note(`taskgrant: ${(error as Error).message}; trying on`)
      isAway = true
      await sleep(RETRY_MS)
    }
  }
}

function isPassing(error: unknown): boolean {
  return (
    error instanceof ConnectionError ||
    (error instanceof ApiError && (error.status >= 500 || error.status === 429))
  )
}

const EXAMPLES = `
Examples:
  taskgrant audit tail
  taskgrant audit tail --follow --type grant.denied
  taskgrant audit tail --since 1h --workload mcp-orders --limit 1000
  taskgrant audit tail --after 0 --limit 1000000 --json > audit.jsonl
`
