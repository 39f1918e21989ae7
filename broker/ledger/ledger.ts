import type { Ledger } from '../adapter.ts'
import type { Database } from '../db/database.ts'
import { countChanges, findStatus, forgetSerials, takeList, withdrawSerials } from './ledger-store.ts'

const FORGET_BATCH = 1_000

/** The ledger of a store, as adapters see it. */
export function createLedger(db: Database): Ledger {
  return {
    withdraw: async (authority, entries) => {
      if (entries.length > 0) await withdrawSerials(db.auto, authority, entries)
    },
    changes: (authority) => countChanges(db.auto, authority),
    list: (authority, expiringAfter) =>
      db.transaction((session) => takeList(session, authority, expiringAfter)),
    statusOf: (authority, serials) => findStatus(db.auto, authority, serials),
    forget: async (authority, expiredBefore) => {
      let forgotten = FORGET_BATCH
      while (forgotten === FORGET_BATCH) {
        forgotten = await forgetSerials(db.auto, authority, expiredBefore, FORGET_BATCH)
      }
    },
  }
}
