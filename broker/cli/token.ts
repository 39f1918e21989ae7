import { stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { CliError } from './cli-error.ts'
import { homeFolder } from './dev-state.ts'
import { append, parseTtl } from './parse-arguments.ts'

interface TokenOptions {
  readonly as: string
  readonly group?: readonly string[]
  readonly ttl: number
  readonly user?: true
}

export function tokenCommand(program: Command): void {
  program
    .command('token')
    .summary('a token of the dev issuer')
    .description(
      'Print a token for trying things out, signed by the issuer of $TASKGRANT_HOME. Only the dev broker of that home ' +
        'accepts it. By its policies mcp-* may open tasks, and admin-* may read and revoke everything.',
    )
    .requiredOption('--as <name>', 'whose: the workload, or the user with --user')
    .option('--group <group>', 'a group of it; may be given several times', append)
    .option('--ttl <duration>', 'how long it is good for', parseTtl, 15 * 60)
    .option('--user', 'a token of a user, for "onBehalfOf" of a task; it opens no door by itself')
    .addHelpText('after', EXAMPLES)
    .action(async ({ as: subject, group, ttl: ttlSeconds, user }: TokenOptions) => {
      const home = homeFolder()
      // Made up here, a key would be one that no broker knows.
      await stat(home).catch((error: unknown) => {
        throw new CliError(`there is no dev broker's state in ${home}`, {
          hint: 'Start "taskgrant dev" here, or set TASKGRANT_HOME to where it was started.',
          cause: error,
        })
      })
      const { loadOrCreateDevIssuer } = await import('../identity/dev-issuer.ts')
      const issuer = await loadOrCreateDevIssuer(home)
      const token = await issuer.sign({
        subject,
        use: user === true ? 'user' : 'workload',
        ttlSeconds,
        ...(group === undefined ? {} : { groups: group }),
      })
      process.stdout.write(`${token.reveal()}\n`)
    })
}

const EXAMPLES = `
Examples:
  TOKEN=$(taskgrant token --as mcp-orders)
  taskgrant token --as alice --user
  taskgrant token --as mcp-orders --group support --ttl 1h
`
