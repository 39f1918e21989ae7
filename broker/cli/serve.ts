import type { Command } from 'commander'
import { startBroker } from '../main.ts'
import { CONFIG_OPTION, loadConfigFile } from './load.ts'
import { openStore } from './store.ts'
import { untilSignal } from './until-signal.ts'

export function serveCommand(program: Command): void {
  program
    .command('serve')
    .summary('run the broker')
    .description(
      'Run the broker: serve the API, and withdraw what is due. Logs go to standard error as JSON lines.',
    )
    .option(...CONFIG_OPTION)
    .addHelpText(
      'after',
      '\nSIGTERM or SIGINT stops it: what is in flight is finished, nothing new is started.\n',
    )
    .action(async ({ config: file }: { config: string }) => {
      const config = await loadConfigFile(file)
      await using store = await openStore(config)
      const broker = await startBroker({ config, storeUrl: store.url })
      await untilSignal()
      await broker.stop()
    })
}
