import { v7 as uuidv7 } from 'uuid'
import { expect } from 'vitest'
import type { Adapter, Call, Credential, Found, GrantRequest, Revoked } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import type { AdapterHarness } from './adapter-contract.ts'

export const TIMEOUT_MS = 10_000
export const ENDED: Revoked = { access: 'ended', removed: true }

export function call(timeoutMs = TIMEOUT_MS): Call {
  return { signal: AbortSignal.timeout(timeoutMs), timeoutMs }
}

export function requestOf(harness: AdapterHarness, changes: Partial<GrantRequest> = {}): GrantRequest {
  return {
    grantId: uuidv7(),
    taskId: uuidv7(),
    storeId: harness.storeId,
    access: harness.access,
    params: harness.params ?? {},
    workloadId: 'mcp-contract',
    ttlSeconds: 600,
    expiresAt: new Date(Date.now() + 600_000),
    issueBefore: new Date(Date.now() + TIMEOUT_MS),
    ...changes,
  }
}

export interface IssuedGrant {
  readonly grant: GrantRequest
  readonly handle: JsonObject
  readonly credential: Credential
}

export async function issue(
  harness: AdapterHarness,
  changes: Partial<GrantRequest> = {},
): Promise<IssuedGrant> {
  const { adapter } = harness
  const grant = requestOf(harness, changes)
  const planned = adapter.plan(grant)
  const issued = await adapter.issue(grant, planned, call())
  return { grant, handle: stored(issued.handle ?? planned), credential: issued.credential.reveal() }
}

/** As it comes back from the store. */
export function stored(handle: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(handle)) as JsonObject
}

export async function canUse(harness: AdapterHarness, credential: Credential): Promise<boolean> {
  return harness.use(credential).then(
    () => true,
    () => false,
  )
}

export async function listed(adapter: Adapter, storeId: string): Promise<Found[]> {
  const found: Found[] = []
  for await (const one of adapter.list?.(storeId, call()) ?? []) found.push(one)
  return found
}

export async function expectNothingLeft(harness: AdapterHarness): Promise<void> {
  if (harness.adapter.list === undefined) return
  expect(await listed(harness.adapter, harness.storeId)).toEqual([])
}
