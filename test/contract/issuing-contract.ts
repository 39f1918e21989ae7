import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { AdapterError } from '../../broker/adapter.ts'
import type { AdapterHarness, AdapterTraits } from './adapter-contract.ts'
import { call, canUse, ENDED, expectNothingLeft, issue, requestOf, stored } from './contract-steps.ts'

const ODD_TEXTS = [`o'brien"; drop table x; --`, 'ünïcödé 🦀 %s %I \\ $1 $$', '${env:HOME}', 'x'.repeat(500)]

export function describeIssuing(traits: AdapterTraits, get: () => AdapterHarness): void {
  describe('issuing', () => {
    it('gives a credential that works', async () => {
      const { handle, credential } = await issue(get())
      expect(credential.kind).toBe(get().adapter.kind)
      await get().use(credential)
      expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
    })

    it('plans the same handle for the same grant, in JSON, and with nothing secret in it', async () => {
      const { adapter } = get()
      const grant = requestOf(get())
      const handle = adapter.plan(grant)
      expect(adapter.plan({ ...grant })).toEqual(handle)
      expect(stored(handle)).toEqual(handle)
      const issued = await adapter.issue(grant, handle, call())
      const credential = issued.credential.reveal()
      for (const field of traits.secrets) {
        const secret = String(credential[field])
        expect(secret.length, field).toBeGreaterThanOrEqual(16)
        expect(JSON.stringify([handle, issued]), field).not.toContain(JSON.stringify(secret).slice(1, -1))
      }
      await adapter.revoke([issued.handle ?? handle], call())
    })

    it('plans different handles for different grants', () => {
      const [one, other] = [requestOf(get()), requestOf(get())].map((grant) => get().adapter.plan(grant))
      expect(one).not.toEqual(other)
    })

    it.each(ODD_TEXTS)('takes any text in what callers choose: %j', async (text) => {
      const { handle, credential } = await issue(get(), { workloadId: text, taskId: text })
      await get().use(credential)
      expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
      expect(await canUse(get(), credential)).toBe(false)
    })

    it('takes any text in what operators choose', async () => {
      for (const access of get().hostileAccesses ?? []) {
        const { handle, credential } = await issue(get(), { access })
        await get().use(credential)
        expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
        expect(await canUse(get(), credential)).toBe(false)
      }
    })
  })
  if (traits.nativeExpiry === 'exact') describeExpiry(get)
  if (traits.sideEffects) describeSideEffects(get)
}

function describeExpiry(get: () => AdapterHarness): void {
  describe('expiry', () => {
    it('ends the credential on time by the clock of the backend alone', async () => {
      const expiresAt = new Date(Date.now() + 2_000)
      const { handle, credential } = await issue(get(), { expiresAt })
      expect(await canUse(get(), credential)).toBe(true)
      await delay(expiresAt.getTime() - Date.now() + 300)
      expect(await canUse(get(), credential)).toBe(false)
      await get().adapter.revoke([handle], call())
    })
  })
}

function describeSideEffects(get: () => AdapterHarness): void {
  describe('issuing what changes a backend', () => {
    it('creates nothing after the moment up to which it may', async () => {
      const late = issue(get(), { issueBefore: new Date(Date.now() - 1_000) })
      await expect(late).rejects.toMatchObject({ name: expect.any(String), settled: true })
      await expectNothingLeft(get())
    })

    it('leaves nothing behind when it is given up in the middle and withdrawn then', async () => {
      const { adapter } = get()
      const timeoutMs = 2_000
      for (let afterMs = 0; afterMs < 12; afterMs += 1) {
        const controller = new AbortController()
        const grant = requestOf(get(), { issueBefore: new Date(Date.now() + timeoutMs) })
        const handle = adapter.plan(grant)
        const issuing = adapter.issue(grant, handle, { signal: controller.signal, timeoutMs })
        const settled = issuing.then(
          () => true,
          (error: unknown) => error instanceof AdapterError && error.settled,
        )
        if (afterMs > 0) await delay(afterMs)
        controller.abort()
        const isSettled = await settled
        expect(await adapter.revoke([handle], call())).toEqual([ENDED])
        if (isSettled) continue
        await delay(timeoutMs)
        expect(await adapter.revoke([handle], call())).toEqual([ENDED])
      }
      await expectNothingLeft(get())
    })
  })
}
