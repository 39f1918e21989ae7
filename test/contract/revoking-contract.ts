import { describe, expect, it } from 'vitest'
import type { AdapterHarness } from './adapter-contract.ts'
import { call, canUse, ENDED, expectNothingLeft, issue, requestOf } from './contract-steps.ts'

export function describeRevoking(get: () => AdapterHarness): void {
  describe('revoking', () => {
    it('ends the credential and the sessions that it opened', async () => {
      const { handle, credential } = await issue(get())
      const session = await get().holdSession?.(credential)
      expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
      expect(await canUse(get(), credential)).toBe(false)
      await session?.closed
      await expectNothingLeft(get())
    })

    it('succeeds a second time', async () => {
      const { handle } = await issue(get())
      expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
      expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
    })

    it('succeeds for what was never made', async () => {
      const handle = get().adapter.plan(requestOf(get()))
      expect(await get().adapter.revoke([handle], call())).toEqual([ENDED])
    })

    it('takes an empty batch', async () => {
      expect(await get().adapter.revoke([], call())).toEqual([])
    })

    it('leaves nothing of an issue that was in flight, once it is repeated after that', async () => {
      const { adapter } = get()
      for (let round = 0; round < 8; round += 1) {
        const grant = requestOf(get())
        const handle = adapter.plan(grant)
        const issuing = adapter.issue(grant, handle, call())
        const [issued] = await Promise.allSettled([issuing, adapter.revoke([handle], call())])
        const known = issued.status === 'fulfilled' ? (issued.value.handle ?? handle) : handle
        expect(await adapter.revoke([known], call())).toEqual([ENDED])
        if (issued.status === 'fulfilled') {
          expect(await canUse(get(), issued.value.credential.reveal())).toBe(false)
        }
      }
      await expectNothingLeft(get())
    })

    it('may run several times at once for the same handles', async () => {
      const issued = await Promise.all(Array.from({ length: 10 }, () => issue(get())))
      const handles = issued.map(({ handle }) => handle)
      const closings: Promise<void>[] = []
      for (const { credential } of issued.slice(0, 3)) {
        const session = await get().holdSession?.(credential)
        if (session !== undefined) closings.push(session.closed)
      }
      const all = await Promise.all([1, 2, 3, 4].map(() => get().adapter.revoke(handles, call())))
      for (const outcomes of all) expect(outcomes).toEqual(handles.map(() => ENDED))
      for (const { credential } of issued) expect(await canUse(get(), credential)).toBe(false)
      await Promise.all(closings)
      await expectNothingLeft(get())
    })

    it('gives one outcome per handle, in order, duplicates included', async () => {
      const { handle, credential } = await issue(get())
      const survivor = await issue(get())
      const absent = get().adapter.plan(requestOf(get()))
      const outcomes = await get().adapter.revoke([absent, handle, handle, absent], call())
      expect(outcomes).toEqual([ENDED, ENDED, ENDED, ENDED])
      expect(await canUse(get(), credential)).toBe(false)
      expect(await canUse(get(), survivor.credential)).toBe(true)
      await get().adapter.revoke([survivor.handle], call())
    })

    it('says of what is no handle of its own that access is open, and withdraws the others', async () => {
      const { handle, credential } = await issue(get())
      const [foreign, own] = await get().adapter.revoke([{ nonsense: true }, handle], call())
      expect(foreign).toMatchObject({ access: 'open', error: { failure: 'failed' } })
      expect(own).toEqual(ENDED)
      expect(await canUse(get(), credential)).toBe(false)
    })

    it('takes a batch of 200', async () => {
      await get().makeRoom?.()
      const issued = await Promise.all(Array.from({ length: 200 }, () => issue(get())))
      const outcomes = await get().adapter.revoke(
        issued.map(({ handle }) => handle),
        call(),
      )
      expect(outcomes).toEqual(issued.map(() => ENDED))
      await expectNothingLeft(get())
    })
  })
}
