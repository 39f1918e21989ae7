import { InvalidArgumentError, type Command } from 'commander'
import { parseDurationSeconds } from '../clock.ts'
import { reap } from '../main.ts'
import type { ReapSummary } from '../reaper/reap-once.ts'
import { CONFIG_OPTION, loadConfigFile } from './load.ts'
import { openStore } from './store.ts'

function parseTimeout(text: string): number {
  const seconds = parseDurationSeconds(text)
  if (seconds === undefined) throw new InvalidArgumentError('expected a duration such as 60s or 5m')
  return seconds
}

export function reapCommand(program: Command): void {
  program
    .command('reap')
    .summary('withdraw what is due, for cron')
    .description(
      'Withdraw every credential that is due, once: expired grants, ended tasks, what a killed broker left behind, ' +
        'and what exists on a backend without a grant. Exits with 1 if anything is still overdue afterwards.',
    )
    .requiredOption('--once', 'do it once and exit')
    .option(...CONFIG_OPTION)
    .option('--timeout <duration>', 'how long to wait for what another broker holds', parseTimeout, 60)
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      '\nEvery minute from cron:\n  * * * * * taskgrant reap --once -c /etc/taskgrant.yaml\n',
    )
    .action(async (options: { config: string; timeout: number; json?: true }) => {
      const loaded = await loadConfigFile(options.config)
      // Cron mails whatever is printed: only what needs attention is.
      const config = {
        ...loaded,
        log: { level: loaded.log.level === 'info' ? ('warn' as const) : loaded.log.level },
      }
      await using store = await openStore(config)
      const summary = await reap({ config, storeUrl: store.url }, options.timeout)
      process.stdout.write(options.json === true ? `${JSON.stringify(summary)}\n` : sentence(summary))
      if (summary.failures.length > 0 || summary.left.some(({ overdue }) => overdue > 0)) process.exitCode = 1
    })
}

function sentence(summary: ReapSummary): string {
  const { tasksExpired, accessEnded, removed, orphansRemoved, left, failures } = summary
  const lines = [
    `tasks expired ${tasksExpired}, access ended ${accessEnded}, removed ${removed}, orphans removed ${orphansRemoved}`,
    ...left.map(
      ({ resource, overdue, stuck, residue }) =>
        `${resource}: overdue ${overdue}, stuck ${stuck}, residue ${residue}`,
    ),
    ...failures.map(({ resource, message }) => `${resource}: ${message}`),
  ]
  return `${lines.join('\n')}\n`
}
