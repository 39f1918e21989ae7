import { AdapterError, type Call, type Revoked } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { boundsOf } from './bounds.ts'
import type { Connections } from './connections.ts'
import { parseHandle, type Handle } from './handle.ts'
import { revokeRoles } from './revoke-roles.ts'
import type { Server } from './server.ts'

/** An answer that comes too late is none. */
const KEEP_BACK_MS = 1_000

type Sorted = { readonly handle: Handle } | { readonly error: AdapterError }

/** One outcome per handle, in order. @throws {AdapterError} if the server is out of reach */
export async function revokeHandles(
  connections: Connections,
  server: Server,
  handles: readonly JsonObject[],
  call: Call,
): Promise<readonly Revoked[]> {
  const sorted = handles.map((handle) => sort(server, handle))
  const ours = sorted.flatMap((one) => ('handle' in one ? [one.handle] : []))
  const keepBackMs = Math.min(KEEP_BACK_MS, call.timeoutMs / 5)
  const outcomes = await revokeRoles(connections, ours, {
    bounds: boundsOf(call, keepBackMs),
    lastLook: boundsOf(call, keepBackMs / 2),
  })
  return sorted.map((one) => {
    const outcome = 'handle' in one ? outcomes.get(one.handle.role) : undefined
    return outcome ?? { access: 'open', error: 'error' in one ? one.error : unknownOutcome() }
  })
}

function sort(server: Server, handle: JsonObject): Sorted {
  try {
    return { handle: requireOurs(server, parseHandle(handle)) }
  } catch (error) {
    if (error instanceof AdapterError) return { error }
    throw error
  }
}

/** A role that is looked for on the wrong server would seem to be gone. */
function requireOurs(server: Server, handle: Handle): Handle {
  if (handle.server === server.name || server.aliases.includes(handle.server)) return handle
  const message =
    `the user is on ${handle.server}, this resource is on ${server.name}: ` +
    'if both are one server, add the former to aliases'
  throw new AdapterError('failed', message, { settled: true })
}

function unknownOutcome(): AdapterError {
  return new AdapterError('failed', 'nothing is known of this user', { settled: false })
}
