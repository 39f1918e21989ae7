import type { Command } from 'commander'

type Register = (program: Command) => void

/** In the order of the help. Loaded when needed: a list of tasks should not wait for what only a broker needs. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  dev: async () => (await import('./dev.ts')).devCommand,
  serve: async () => (await import('./serve.ts')).serveCommand,
  migrate: async () => (await import('./migrate.ts')).migrateCommand,
  reap: async () => (await import('./reap.ts')).reapCommand,
  token: async () => (await import('./token.ts')).tokenCommand,
  tasks: async () => (await import('./tasks.ts')).tasksCommand,
  grants: async () => (await import('./grants.ts')).grantsCommand,
  revocations: async () => (await import('./revocations.ts')).revocationsCommand,
  resources: async () => (await import('./resources.ts')).resourcesCommand,
  trail: async () => (await import('./trail.ts')).trailCommand,
  audit: async () => (await import('./audit.ts')).auditCommand,
}

/** Registers the command that `args` begin with; all of them, for the help or the complaint, if there is none. */
export async function registerCommands(program: Command, args: readonly string[]): Promise<void> {
  const wanted = COMMANDS[args[0] ?? '']
  for (const load of wanted === undefined ? Object.values(COMMANDS) : [wanted]) (await load())(program)
}
