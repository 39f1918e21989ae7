import { afterAll, beforeAll, describe } from 'vitest'
import type { Adapter, Credential } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { describeIssuing } from './issuing-contract.ts'
import { describeRevoking } from './revoking-contract.ts'
import { describeUpkeep } from './upkeep-contract.ts'

/** What the suite needs of a backend. Left out: it has no such thing, and the rules about it are not tested. */
export interface AdapterHarness extends AsyncDisposable {
  readonly adapter: Adapter
  /** Nothing of these stores is on the backend at the start, and nobody else uses them. */
  readonly storeId: string
  readonly otherStoreId: string
  /** An access that is configured. */
  readonly access: string
  /** Further ones, with the oddest configuration that the adapter accepts. */
  readonly hostileAccesses?: readonly string[]
  readonly params?: JsonObject
  /** Does with the credential what it is for. Throws if the backend refuses it. */
  use(credential: Credential): Promise<void>
  /** Keeps a session open; `closed` resolves when the backend ends it. */
  holdSession?(credential: Credential): Promise<{ readonly closed: Promise<void> }>
  /** Makes the backend unreachable (`refuse`) or silent (`stall`) for the adapter. */
  breakBackend?(how: 'refuse' | 'stall'): Promise<void>
  restoreBackend?(): Promise<void>
  /** An adapter whose check must fail, and what the message must say. */
  readonly incapable?: { readonly adapter: Adapter; readonly message: RegExp }
}

/** The rules that every adapter keeps. */
export function describeAdapterContract(name: string, create: () => Promise<AdapterHarness>): void {
  describe(`contract: ${name}`, () => {
    let harness: AdapterHarness | undefined
    const get = (): AdapterHarness => {
      if (harness === undefined) throw new Error('the harness is not ready')
      return harness
    }
    beforeAll(async () => {
      harness = await create()
    })
    afterAll(async () => {
      await harness?.[Symbol.asyncDispose]()
    })
    describeIssuing(get)
    describeRevoking(get)
    describeUpkeep(get)
  })
}
