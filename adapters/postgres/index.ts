import { z } from 'zod'
import { AdapterError, type Adapter, type AdapterKind, type ResourceSetup } from '../../broker/adapter.ts'
import { boundsOf } from './bounds.ts'
import { checkServer } from './check.ts'
import { openConnections } from './connections.ts'
import { parseHandle, roleName, type Handle } from './handle.ts'
import { issueRole } from './issue.ts'
import { listRoles } from './list.ts'
import { renewRole } from './renew.ts'
import { revokeHandles } from './revoke.ts'
import { serverOf } from './server.ts'
import { access, settings, type Access, type Settings } from './settings.ts'

/** A database user per grant. */
export const postgresAdapter: AdapterKind<typeof settings, typeof access> = {
  kind: 'postgres',
  settings,
  access,
  create: createPostgresAdapter,
}

const NO_PARAMS = z.strictObject({})

/** @throws {AdapterError} if the settings contradict each other */
export function createPostgresAdapter(setup: ResourceSetup<Settings, Access>): Adapter {
  const server = serverOf(setup.settings)
  const { scramIterations, poolSize, withdrawPoolSize } = setup.settings
  const connections = openConnections(server, { grant: poolSize, withdraw: withdrawPoolSize })

  function accessOf(name: string): Access {
    const found = setup.accesses.get(name)
    if (found !== undefined) return found
    throw new AdapterError('failed', 'there is no such access', { settled: true })
  }

  return {
    kind: 'postgres',
    sideEffects: true,
    guarantees: { nativeExpiry: 'exact', revocation: 'immediate' },

    params: () => NO_PARAMS,

    plan({ storeId, grantId, access: name }) {
      const { memberOf, owner } = accessOf(name)
      return {
        role: roleName(storeId, grantId),
        server: server.name,
        database: server.agentDatabase,
        memberOf,
        owner: owner ?? memberOf[0] ?? server.user,
      } satisfies Handle
    },

    async issue(grant, handle, call) {
      const { connectionLimit } = accessOf(grant.access)
      const role = { scramIterations, connectionLimit }
      return issueRole(connections, server, grant, parseHandle(handle), role, boundsOf(call))
    },

    async renew(handle, expiresAt, call) {
      await renewRole(connections, parseHandle(handle), expiresAt, boundsOf(call))
    },

    revoke: (handles, call) => revokeHandles(connections, server, handles, call),

    list: (storeId, call) =>
      listRoles(connections, server, [...setup.accesses.values()], storeId, boundsOf(call)),

    check: (call) => checkServer(connections, server, [...setup.accesses.values()], boundsOf(call)),

    [Symbol.asyncDispose]: () => connections[Symbol.asyncDispose](),
  }
}
