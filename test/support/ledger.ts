import type { Ledger } from '../../broker/adapter.ts'
import { openDatabase, type Database } from '../../broker/db/database.ts'
import { migrate } from '../../broker/db/migrate.ts'
import { createLedger } from '../../broker/ledger/ledger.ts'
import { createLogger } from '../../broker/logger.ts'
import { Secret } from '../../broker/secret.ts'
import { freshDatabase } from './postgres.ts'

export interface FreshLedger extends AsyncDisposable {
  readonly ledger: Ledger
  readonly db: Database
  readonly url: string
}

/** The ledger of a store of its own. */
export async function freshLedger(): Promise<FreshLedger> {
  const store = await freshDatabase('ledger')
  const url = new Secret(store.url)
  await migrate(url)
  const db = openDatabase({ url, poolSize: 4, applicationName: 'test', logger: createLogger('silent') })
  return {
    ledger: createLedger(db),
    db,
    url: store.url,
    async [Symbol.asyncDispose]() {
      await db[Symbol.asyncDispose]()
      await store.drop()
    },
  }
}
