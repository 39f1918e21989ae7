import { Option, type Command } from 'commander'
import type { Grant } from './api-types.ts'
import { connect, withConnection, type ConnectionOptions } from './credentials.ts'
import { GRANT_COLUMNS, TASK_OF_GRANT } from './grant-table.ts'
import { note, print, printFacts, printJson } from './output.ts'
import { printPage, withPage, type PageOptions } from './page-output.ts'
import { collect } from './pages.ts'
import { parseId, parseTtl, parseWait } from './parse-arguments.ts'
import { plainJson } from './plain-text.ts'
import { momentOf } from './times.ts'

export function grantsCommand(program: Command): void {
  const grants = program
    .command('grants')
    .summary('list, show, renew and revoke grants')
    .description('Grants: one credential each, minted for one task.')
  listCommand(grants)
  showCommand(grants)
  renewCommand(grants)
  revokeCommand(grants)
}

interface ListOptions extends ConnectionOptions, PageOptions {
  readonly state?: string
  readonly resource?: string
  readonly workload?: string
  readonly stuck?: true
  readonly residue?: true
}

function listCommand(grants: Command): void {
  const command = grants
    .command('list')
    .description(
      'List grants, newest first. You see those of your own tasks, or all if policy lets you read them.',
    )
    .addOption(
      new Option('--state <state>', 'only these').choices(['pending', 'active', 'revoking', 'revoked']),
    )
    .option('--resource <name>', 'only of this resource')
    .option('--workload <id>', 'only of tasks of this workload')
    .option('--stuck', 'only those that could not be withdrawn, time and again')
    .option('--residue', 'only those of which something is left on the backend')
    .addHelpText(
      'after',
      '\nWhat needs a person:\n  taskgrant grants list --stuck\n  taskgrant grants list --residue\n',
    )
  withConnection(withPage(command)).action(async (options: ListOptions) => {
    const api = await connect(options)
    const { state, resource, workload, stuck, residue, after, limit } = options
    const filter = { state, resource, workload, stuck, residue, after }
    const page = await collect<Grant>(api, '/v1/grants', filter, limit)
    printPage(page, [...GRANT_COLUMNS, TASK_OF_GRANT], 'No such grants.', options)
  })
}

function showCommand(grants: Command): void {
  const command = grants
    .command('show')
    .description('Show one grant. Its secret is not kept anywhere and cannot be shown.')
    .argument('<grant>', 'its id', parseId)
    .option('--json', 'print JSON')
  withConnection(command).action(async (id: string, options: ConnectionOptions & { json?: true }) => {
    const api = await connect(options)
    const { body } = await api.get<Grant>(`/v1/grants/${id}`)
    if (options.json === true) printJson(body)
    else printFacts(factsOf(body))
  })
}

function factsOf(grant: Grant): Record<string, string | null> {
  const { revokeReason, guarantees } = grant
  return {
    grant: grant.id,
    task: grant.taskId,
    state: revokeReason === null ? grant.state : `${grant.state} (${revokeReason})`,
    access: `${grant.resource}/${grant.access} (${grant.adapter})`,
    requested: momentOf(grant.requestedAt),
    issued: momentOf(grant.issuedAt),
    expires: momentOf(grant.expiresAt),
    revoked: momentOf(grant.revokedAt),
    handle: plainJson(grant.handle),
    guarantees:
      guarantees === null
        ? null
        : `expiry by the backend: ${guarantees.nativeExpiry}, revocation: ${guarantees.revocation}`,
    stuck: grant.stuck ? 'yes: withdrawing failed time and again, and is still tried' : null,
    'last error': grant.lastError,
    residue: grant.residue,
  }
}

function renewCommand(grants: Command): void {
  const command = grants
    .command('renew')
    .description('Move the end of a grant, as far as policy and its task allow.')
    .argument('<grant>', 'its id', parseId)
    .option('--ttl <duration>', 'from now on; left out, the default of the access', parseTtl)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  taskgrant grants renew GRANT --ttl 10m\n')
  withConnection(command).action(
    async (id: string, options: ConnectionOptions & { ttl?: number; json?: true }) => {
      const api = await connect(options)
      const ttl = options.ttl === undefined ? {} : { ttlSeconds: options.ttl }
      const { body } = await api.post<Grant>(`/v1/grants/${id}/renew`, ttl)
      if (options.json === true) printJson(body)
      else print(`Grant ${body.id} now expires ${momentOf(body.expiresAt)}.`)
    },
  )
}

interface RevokeOptions extends ConnectionOptions {
  readonly reason?: string
  readonly wait: number
  readonly json?: true
}

function revokeCommand(grants: Command): void {
  const command = grants
    .command('revoke')
    .description('Withdraw one grant and leave its task open.')
    .argument('<grant>', 'its id', parseId)
    .option('--reason <text>', 'why; goes into the trail')
    .option('--wait <duration>', 'how long to wait for access to end', parseWait, 10)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExits with 1 if it may still open something.\n')
  withConnection(command).action(async (id: string, options: RevokeOptions) => {
    const api = await connect(options)
    const reason = options.reason === undefined ? {} : { reason: options.reason }
    const { body } = await api.post<Grant>(`/v1/grants/${id}/revoke`, reason, { waitSeconds: options.wait })
    if (body.state !== 'revoked') process.exitCode = 1
    if (options.json === true) printJson(body)
    else if (body.state === 'revoked') print(`Grant ${body.id} opens nothing any more.`)
    else {
      print(
        `Grant ${body.id} may still open ${body.resource}: ${body.lastError ?? 'withdrawing it takes longer'}`,
      )
      note('The broker keeps trying. Watch: taskgrant grants list --state revoking')
    }
  })
}
