import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter, Credential } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { describeIssuing } from './issuing-contract.ts'
import { describeRevoking } from './revoking-contract.ts'
import { describeUpkeep } from './upkeep-contract.ts'

/** What kind of adapter it is, which decides the rules that apply to it. The suite sees that it is so. */
export interface AdapterTraits {
  readonly sideEffects: boolean
  readonly renews: boolean
  readonly lists: boolean
  readonly nativeExpiry: 'exact' | 'none'
  /** The harness can make its backend unreachable. */
  readonly breakable: boolean
  /** The harness has an adapter whose check must fail. */
  readonly mayBeIncapable: boolean
  /** The fields of a credential that nobody else may see. */
  readonly secrets: readonly string[]
}

/** What the suite needs of a backend. */
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
  use(credential: Credential): Promise<unknown>
  /** Keeps a session open; `closed` resolves when the backend ends it. */
  holdSession?(credential: Credential): Promise<{ readonly closed: Promise<void> }>
  /** Makes the backend unreachable (`refuse`) or silent (`stall`) for the adapter. */
  breakBackend?(how: 'refuse' | 'stall'): Promise<void>
  restoreBackend?(): Promise<void>
  /** Makes the backend forget all withdrawals so far, where its room for them has an end. */
  makeRoom?(): Promise<void>
  /** An adapter whose check must fail, and what the message must say. */
  readonly incapable?: { readonly adapter: Adapter; readonly message: RegExp }
}

/** The rules that every adapter keeps. */
export function describeAdapterContract(
  name: string,
  traits: AdapterTraits,
  create: () => Promise<AdapterHarness>,
): void {
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
    it('is of the kind that it is tested as', () => {
      const { adapter, breakBackend, incapable } = get()
      expect({
        sideEffects: adapter.sideEffects,
        renews: adapter.renew !== undefined,
        lists: adapter.list !== undefined,
        nativeExpiry: adapter.guarantees.nativeExpiry,
        breakable: breakBackend !== undefined,
        mayBeIncapable: incapable !== undefined,
      }).toEqual({ ...traits, secrets: undefined })
    })
    describeIssuing(traits, get)
    describeRevoking(get)
    describeUpkeep(traits, get)
  })
}
