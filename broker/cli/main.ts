#!/usr/bin/env node
import '../policy/cedar-v8-flag.ts'
import { Command } from 'commander'
import { packageVersion } from '../version.ts'
import { registerCommands } from './commands.ts'
import { reportFailure } from './report-failure.ts'

// A reader that has enough, such as `head`, closes the pipe.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

const program = new Command('taskgrant')
  .description('Ephemeral credentials for the tasks of AI agents: minted for one task, gone when it ends.')
  .version(packageVersion())
  .configureHelp({ sortOptions: false })
  .showHelpAfterError('(add --help to see how)')
  .exitOverride()
  .addHelpText(
    'after',
    '\nTo begin: taskgrant dev, and in another terminal: taskgrant resources list --as mcp-orders\n',
  )

try {
  await registerCommands(program, process.argv.slice(2))
  await program.parseAsync()
} catch (error) {
  // Not process.exit(): what was printed into a pipe may still be on its way.
  process.exitCode = reportFailure(error)
}
