import type { Ledger, ResourceSetup } from '../../broker/adapter.ts'

const refuse = async (): Promise<never> => {
  throw new Error('this adapter has nothing to do with the ledger')
}

/** What the broker gives every adapter, for one that uses none of it. */
export const NO_SERVICES: Pick<ResourceSetup<unknown, unknown>, 'publicUrl' | 'ledger'> = {
  publicUrl: undefined,
  ledger: {
    withdraw: refuse,
    changes: refuse,
    list: refuse,
    statusOf: refuse,
    forget: refuse,
  } satisfies Ledger,
}
