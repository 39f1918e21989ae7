import type { Secret } from '../secret.ts'
import { prepareBinaries } from './embedded/binaries.ts'
import { prepareDataFolder } from './embedded/data-folder.ts'
import { launch } from './embedded/launch.ts'
import { findServerUser } from './embedded/server-user.ts'

export interface EmbeddedPostgresOptions {
  /** Ours alone: a server that runs on it is stopped. */
  readonly dataDir: string
  /** 0, and left out: any free one. */
  readonly port?: number
  /** Of the superuser `postgres`; counts when the folder is made, and must be the same ever after. */
  readonly password: Secret<string>
  /** PostgreSQL settings that add to ours or replace them. */
  readonly settings?: Readonly<Record<string, string>>
  readonly onLog?: (line: string) => void
}

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly port: number
  /** The superuser's, for one database. */
  url(database: string): Secret<string>
  /** Ends all sessions and the server, and waits for it. */
  stop(): Promise<void>
}

/**
 * A PostgreSQL server of our own, on 127.0.0.1 only. It ends with our process, even if that is killed.
 *
 * @throws {StartupError}
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const user = await findServerUser()
  const binaries = await prepareBinaries(user)
  const dataFolder = await prepareDataFolder({
    dataDir: options.dataDir,
    user,
    initdb: binaries.initdb,
    password: options.password,
    sync: options.settings?.['fsync'] !== 'off',
  })
  const server = await launch({ ...options, user, dataFolder, postgres: binaries.postgres })
  let stopped: Promise<void> | undefined
  function stop(): Promise<void> {
    stopped ??= server.stop()
    return stopped
  }
  return { port: server.port, url: server.url, stop, [Symbol.asyncDispose]: stop }
}
