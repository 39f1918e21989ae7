import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { AdapterError } from '../../broker/adapter.ts'
import type { AdapterHarness, AdapterTraits } from './adapter-contract.ts'
import { call, canUse, ENDED, issue, listed, requestOf } from './contract-steps.ts'

export function describeUpkeep(traits: AdapterTraits, get: () => AdapterHarness): void {
  if (traits.renews) describeRenewing(get)
  if (traits.lists) describeListing(get)
  describeChecking(get)
  if (traits.mayBeIncapable) describeIncapable(get)
  if (traits.breakable) describeBreaking(get)
}

function describeRenewing(get: () => AdapterHarness): void {
  describe('renewing', () => {
    it('moves the end', async () => {
      const { adapter } = get()
      const expiresAt = new Date(Date.now() + 2_000)
      const { handle, credential } = await issue(get(), { expiresAt })
      await adapter.renew?.(handle, new Date(Date.now() + 600_000), call())
      await delay(expiresAt.getTime() - Date.now() + 300)
      expect(await canUse(get(), credential)).toBe(true)
      await adapter.renew?.(handle, new Date(Date.now() - 1_000), call())
      expect(await canUse(get(), credential)).toBe(false)
      await adapter.revoke([handle], call())
    })

    it('fails for what was revoked', async () => {
      const { adapter } = get()
      const { handle, credential } = await issue(get())
      await adapter.revoke([handle], call())
      const renewed = adapter.renew?.(handle, new Date(Date.now() + 600_000), call())
      await expect(renewed).rejects.toMatchObject({
        name: expect.any(String),
        failure: 'failed',
        settled: true,
      })
      expect(await canUse(get(), credential)).toBe(false)
    })
  })
}

function describeListing(get: () => AdapterHarness): void {
  describe('listing', () => {
    it('finds what is there, and nothing of another store', async () => {
      const { adapter, storeId, otherStoreId } = get()
      const own = await Promise.all([issue(get()), issue(get()), issue(get())])
      const others = await issue(get(), { storeId: otherStoreId })
      const found = await listed(adapter, storeId)
      const wanted = own.map(({ grant, handle }) => ({ grantId: grant.grantId, handle }))
      const byId = (one: { grantId: string }, other: { grantId: string }): number =>
        one.grantId.localeCompare(other.grantId)
      expect(found.toSorted(byId)).toEqual(wanted.toSorted(byId))
      const handles = found.map(({ handle }) => handle)
      expect(await adapter.revoke(handles, call())).toEqual(handles.map(() => ENDED))
      expect(await listed(adapter, storeId)).toEqual([])
      expect(await canUse(get(), others.credential)).toBe(true)
      expect(await adapter.revoke([others.handle], call())).toEqual([ENDED])
    })
  })
}

function describeChecking(get: () => AdapterHarness): void {
  describe('checking', () => {
    it('passes on a backend where everything is in place', async () => {
      await expect(get().adapter.check(call())).resolves.toBeUndefined()
    })
  })
}

function describeIncapable(get: () => AdapterHarness): void {
  describe('checking what cannot do its job', () => {
    it('says what is missing', async () => {
      const { incapable } = get()
      await expect(incapable?.adapter.check(call())).rejects.toThrow(incapable?.message)
    })
  })
}

function describeBreaking(get: () => AdapterHarness): void {
  describe('a backend that is gone', () => {
    it.each(['refuse', 'stall'] as const)(
      'fails every call in time, and works again after (%s)',
      async (how) => {
        const harness = get()
        const { adapter } = harness
        const { handle, credential } = await issue(harness)
        await harness.breakBackend?.(how)
        try {
          const grant = requestOf(harness)
          const startedAt = performance.now()
          const attempts = await Promise.allSettled([
            adapter.issue(grant, adapter.plan(grant), call(1_000)),
            adapter.revoke([handle], call(1_000)),
            adapter.check(call(1_000)),
          ])
          expect(performance.now() - startedAt).toBeLessThan(4_000)
          for (const attempt of attempts) {
            expect(attempt.status === 'rejected' && attempt.reason).toBeInstanceOf(AdapterError)
          }
        } finally {
          await harness.restoreBackend?.()
        }
        await expect
          .poll(() => adapter.check(call()).then(() => 'ok', String), { timeout: 10_000 })
          .toBe('ok')
        expect(await adapter.revoke([handle], call())).toEqual([ENDED])
        expect(await canUse(harness, credential)).toBe(false)
      },
    )
  })
}
