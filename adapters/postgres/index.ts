import { z } from 'zod'
import {
  AdapterError,
  type Adapter,
  type AdapterKind,
  type Found,
  type ResourceSetup,
} from '../../broker/adapter.ts'
import { checkServer } from './check.ts'
import { openPool, withConnection } from './connections.ts'
import { grantIdOf, parseHandle, roleName, type Handle } from './handle.ts'
import { createRoleStatement, credentialOf, newPassword } from './issue.ts'
import { quoteIdentifier, quoteLiteral } from './quote.ts'
import { revokeRoles } from './revoke.ts'
import { access, serverOf, settings, type Access, type Settings } from './settings.ts'

const PAGE = 1_000

/** A database user per grant. */
export const postgresAdapter: AdapterKind<typeof settings, typeof access> = {
  kind: 'postgres',
  settings,
  access,
  params: z.strictObject({}),
  create: createPostgresAdapter,
}

export function createPostgresAdapter(setup: ResourceSetup<Settings, Access>): Adapter {
  const server = serverOf(setup.settings)
  const { scramIterations, poolSize, withdrawPoolSize } = setup.settings
  const issuing = openPool(server, poolSize)
  // Of its own, so that ending access is never kept waiting by granting it.
  const withdrawing = openPool(server, withdrawPoolSize)

  function accessOf(name: string): Access {
    const found = setup.accesses.get(name)
    if (found === undefined) throw new AdapterError('failed', 'there is no such access', { settled: true })
    return found
  }

  /** A role that is looked for on the wrong server would seem to be gone. */
  function requireOurs(handle: Handle): void {
    if (handle.server === server.name || server.aliases.includes(handle.server)) return
    const message = `the user is on ${handle.server}, this resource is on ${server.name}: if that is the same server, add it to aliases`
    throw new AdapterError('failed', message, { settled: true })
  }

  return {
    kind: 'postgres',
    sideEffects: true,
    guarantees: { nativeExpiry: 'exact', revocation: 'immediate' },

    plan({ storeId, grantId, access: name }) {
      const { memberOf, owner } = accessOf(name)
      return {
        role: roleName(storeId, grantId),
        server: server.name,
        database: server.database,
        memberOf,
        owner: owner ?? memberOf[0] ?? '',
      }
    },

    async issue(grant, rawHandle, call) {
      const handle = parseHandle(rawHandle)
      const { password, verifier } = await newPassword(scramIterations)
      const statement = createRoleStatement(grant, handle, accessOf(grant.access), verifier)
      await withConnection(issuing, call, (client) => client.query(statement))
      return { credential: credentialOf(server, grant, handle, password) }
    },

    async renew(rawHandle, expiresAt, call) {
      const handle = parseHandle(rawHandle)
      requireOurs(handle)
      await withConnection(issuing, call, (client) =>
        client.query(
          `alter role ${quoteIdentifier(handle.role)} valid until ${quoteLiteral(expiresAt.toISOString())}`,
        ),
      )
    },

    async revoke(rawHandles, call) {
      const handles = rawHandles.map(parseHandle)
      const ours = handles.filter(
        (handle) => handle.server === server.name || server.aliases.includes(handle.server),
      )
      const revoked = await withConnection(withdrawing, call, (client) => revokeRoles(client, server, ours))
      return handles.map((handle) => {
        const outcome = revoked[ours.indexOf(handle)]
        if (outcome !== undefined) return outcome
        try {
          requireOurs(handle)
        } catch (error) {
          if (error instanceof AdapterError) return { access: 'open', error }
        }
        throw new AdapterError('failed', 'a handle has no outcome', { settled: false })
      })
    },

    async *list(storeId, call): AsyncIterable<Found> {
      let after = ''
      for (;;) {
        const { rows } = await withConnection(withdrawing, call, (client) =>
          client.query<{ role: string; member_of: string[] }>(
            `select r.rolname as role, array(
               select g.rolname from pg_auth_members as m join pg_roles as g on g.oid = m.roleid where m.member = r.oid
             )::text[] as member_of
             from pg_roles as r where starts_with(r.rolname, $1) and r.rolname > $2 order by r.rolname limit $3`,
            [`tg_${storeId}_`, after, PAGE],
          ),
        )
        for (const { role, member_of: memberOf } of rows) {
          after = role
          const grantId = grantIdOf(storeId, role)
          const owner = memberOf[0] ?? server.user
          const handle = { role, server: server.name, database: server.database, memberOf, owner }
          if (grantId !== undefined) yield { grantId, handle }
        }
        if (rows.length < PAGE) return
      }
    },

    async check(call) {
      await withConnection(withdrawing, call, (client) => checkServer(client, setup.accesses.values()))
    },

    async [Symbol.asyncDispose]() {
      await Promise.all([issuing.end(), withdrawing.end()])
    },
  }
}
