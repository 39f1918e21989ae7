import { join } from 'node:path'
import type { Config } from '../config.ts'
import { startEmbeddedPostgres } from '../db/embedded-postgres.ts'
import { ensureDatabase } from '../db/ensure-database.ts'
import { embeddedPassword, openHome } from '../home.ts'
import type { Secret } from '../secret.ts'

export interface Store extends AsyncDisposable {
  readonly url: Secret<string>
}

/** The store of a configuration; without `store.url` an embedded one in `$TASKGRANT_HOME`. @throws {StartupError} */
export async function openStore(config: Config): Promise<Store> {
  if (config.store.url !== undefined) {
    return { url: config.store.url, [Symbol.asyncDispose]: async () => undefined }
  }
  const home = await openHome()
  const postgres = await startEmbeddedPostgres({
    dataDir: join(home, 'postgres'),
    password: await embeddedPassword(home),
  })
  await ensureDatabase(postgres.url('postgres'), 'taskgrant')
  return { url: postgres.url('taskgrant'), [Symbol.asyncDispose]: () => postgres.stop() }
}
