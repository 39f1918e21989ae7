import { AdapterError } from '../adapter.ts'
import { callAdapter } from '../call.ts'
import type { Core, Resource } from '../core.ts'

const CHECK_TIMEOUT_MS = 5_000

/** What the last look at a backend found. */
export interface BackendState {
  readonly ok: boolean
  readonly message: string | undefined
  readonly checkedAt: Date
}

/** Asks a backend whether we can do our whole job there. Never throws. */
export async function checkBackend(core: Core, resource: Resource): Promise<BackendState> {
  const state = await look(resource)
  core.metrics.backendUp.set({ resource: resource.name }, state.ok ? 1 : 0)
  core.backends.set(resource.name, state)
  return state
}

async function look(resource: Resource): Promise<BackendState> {
  const checkedAt = new Date()
  try {
    await callAdapter(CHECK_TIMEOUT_MS, (call) => resource.adapter.check(call))
    return { ok: true, message: undefined, checkedAt }
  } catch (error) {
    const message = error instanceof AdapterError ? error.message : 'the check failed unexpectedly'
    return { ok: false, message, checkedAt }
  }
}
