import { randomBytes } from 'node:crypto'
import type { GrantRequest, Issued } from '../../broker/adapter.ts'
import { Secret } from '../../broker/secret.ts'
import type { Bounds } from './bounds.ts'
import type { Connections } from './connections.ts'
import { ServerError, STATE } from './failure.ts'
import type { Handle } from './handle.ts'
import { doBlock, quoteIdentifier, quoteLiteral } from './quote.ts'
import { scramVerifier } from './scram.ts'
import type { Server } from './server.ts'

const PASSWORD_BYTES = 32

/** Settings of one role that are not part of its handle. */
export interface RoleSettings {
  readonly scramIterations: number
  readonly connectionLimit: number | undefined
}

/** Creates the role in one round trip. @throws {ServerError} */
export async function issueRole(
  connections: Connections,
  server: Server,
  grant: GrantRequest,
  handle: Handle,
  role: RoleSettings,
  bounds: Bounds,
): Promise<Issued> {
  const password = randomBytes(PASSWORD_BYTES).toString('base64url')
  const verifier = await scramVerifier(password, role.scramIterations)
  try {
    await connections.grant(createRole(grant, handle, role, verifier), bounds)
  } catch (error) {
    throw explained(error, handle)
  }
  return { credential: credentialOf(server, grant, handle, password) }
}

function createRole(grant: GrantRequest, handle: Handle, role: RoleSettings, verifier: string): string {
  // The server's clock has the last word: an order that was held up on the way must not take hold.
  return doBlock(`begin
    if clock_timestamp() > ${quoteLiteral(grant.issueBefore.toISOString())}::timestamptz then
      raise exception 'too late' using errcode = '${STATE.tooLate}';
    end if;
    create role ${quoteIdentifier(handle.role)}
      login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls
      connection limit ${role.connectionLimit ?? -1}
      password ${quoteLiteral(verifier)}
      valid until ${quoteLiteral(grant.expiresAt.toISOString())}
      in role ${handle.memberOf.map(quoteIdentifier).join(', ')};
  end`)
}

function explained(error: unknown, { memberOf }: Handle): unknown {
  if (!(error instanceof ServerError)) return error
  const { state, failure, settled } = error
  const roles = memberOf.map(quoteIdentifier).join(', ')
  if (state === STATE.undefinedObject) {
    return new ServerError(failure, `a role of memberOf does not exist on the server: ${roles}`, {
      settled,
      state,
    })
  }
  if (state === STATE.insufficientPrivilege) {
    const message = `the administrator needs createrole, and ${roles} granted to it with admin option`
    return new ServerError(failure, message, { settled, state })
  }
  return error
}

function credentialOf(
  server: Server,
  grant: GrantRequest,
  handle: Handle,
  password: string,
): Issued['credential'] {
  const { agentHost, agentPort, tls } = server
  const uri = new URL(`postgresql://${agentHost.includes(':') ? `[${agentHost}]` : agentHost}:${agentPort}`)
  uri.username = handle.role
  uri.password = password
  uri.pathname = `/${encodeURIComponent(handle.database)}`
  const sslMode = tls === undefined ? '' : '&sslmode=verify-full'
  uri.search = `?application_name=${encodeURIComponent(`taskgrant/${grant.taskId}`)}${sslMode}`
  return new Secret({
    kind: 'postgres',
    username: handle.role,
    password,
    host: agentHost,
    port: agentPort,
    database: handle.database,
    uri: uri.href,
    expiresAt: grant.expiresAt.toISOString(),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
  })
}
