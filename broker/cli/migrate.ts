import type { Command } from 'commander'
import { migrate } from '../db/migrate.ts'
import { CONFIG_OPTION, loadConfigFile } from './load.ts'
import { openStore } from './store.ts'

export function migrateCommand(program: Command): void {
  program
    .command('migrate')
    .summary("bring the store's schema up to this release")
    .description(
      "Bring the store's schema up to this release. The broker does it at every start as well; run it beforehand if " +
        'the broker itself may not create tables. Any number of processes may do it at once.',
    )
    .option(...CONFIG_OPTION)
    .action(async ({ config: file }: { config: string }) => {
      const config = await loadConfigFile(file)
      await using store = await openStore(config)
      const { applied } = await migrate(store.url)
      const names = applied.map(({ version, name }) => `${String(version).padStart(6, '0')} ${name}\n`)
      process.stdout.write(names.length === 0 ? 'The store is up to date.\n' : `Applied:\n${names.join('')}`)
    })
}
