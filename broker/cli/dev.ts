import { InvalidArgumentError, type Command } from 'commander'
import { startDev } from '../dev/start-dev.ts'
import { openHome } from '../home.ts'
import { LOG_LEVELS, type LogLevel } from '../logger.ts'
import { untilSignal } from './until-signal.ts'

function parsePort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('expected 0 to 65535')
  return port
}

function parseLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === text)
  if (level === undefined) throw new InvalidArgumentError(`expected one of ${LOG_LEVELS.join(', ')}`)
  return level
}

export function devCommand(program: Command): void {
  program
    .command('dev')
    .summary('try it: everything embedded, on this machine')
    .description(
      'Run a broker with all it needs: its own PostgreSQL with a demo database (resource shop-db), an authority for ' +
        'certificates (internal-api), an emulated AWS account (aws-demo), an issuer of tokens and policies. State is ' +
        'kept in $TASKGRANT_HOME (.taskgrant by default).',
    )
    .option('--port <port>', 'port to listen on; 0 for any free one', parsePort, 8484)
    .option('--log-level <level>', `how much to log: ${LOG_LEVELS.join(', ')}`, parseLevel, 'warn')
    .addHelpText('after', GUIDE)
    .action(async ({ port, logLevel }: { port: number; logLevel: LogLevel }) => {
      const home = await openHome()
      const progress = (line: string): void => {
        if (process.stderr.isTTY) process.stderr.write(`  ${line}\n`)
      }
      const broker = await startDev({ home, port, logLevel, progress })
      process.stdout.write(
        `taskgrant dev is ready at ${broker.url}\n${process.stdout.isTTY ? hints(broker.url) : ''}`,
      )
      await untilSignal()
      progress('stopping')
      await broker.stop()
    })
}

const GUIDE = `
In another terminal:
  taskgrant resources list --as mcp-orders
  taskgrant tasks list
  curl -H "Authorization: Bearer $(taskgrant token --as mcp-orders)" http://127.0.0.1:8484/v1/resources
`

function hints(url: string): string {
  return `
  Open a task with a database user for it:
    curl -s ${url}/v1/tasks -H "Authorization: Bearer $(taskgrant token --as mcp-orders)" \\
      -H 'Content-Type: application/json' \\
      -d '{"purpose":"answer ticket 4711","grants":[{"resource":"shop-db","access":"read"}]}'
  See it, and end it:
    taskgrant tasks list
    taskgrant tasks revoke TASK --reason "trying it out"
    taskgrant trail TASK

  Ctrl-C stops everything.
`
}
