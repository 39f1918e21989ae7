import { randomBytes } from 'node:crypto'
import type { GrantRequest, Issued } from '../../broker/adapter.ts'
import { Secret } from '../../broker/secret.ts'
import { TOO_LATE } from './failure.ts'
import type { Handle } from './handle.ts'
import { quoteIdentifier, quoteLiteral } from './quote.ts'
import { scramVerifier } from './scram.ts'
import type { Access, Server } from './settings.ts'

const PASSWORD_BYTES = 32

export async function newPassword(
  iterations: number,
): Promise<{ password: Secret<string>; verifier: string }> {
  const password = randomBytes(PASSWORD_BYTES).toString('base64url')
  return { password: new Secret(password), verifier: await scramVerifier(password, iterations) }
}

/** One statement, one round trip. It refuses by the server's own clock to run after `issueBefore`. */
export function createRoleStatement(
  grant: GrantRequest,
  handle: Handle,
  access: Access,
  verifier: string,
): string {
  const limit = access.connectionLimit === undefined ? '' : ` connection limit ${access.connectionLimit}`
  const create =
    `create role ${quoteIdentifier(handle.role)} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls ` +
    `inherit${limit} password ${quoteLiteral(verifier)} valid until ${quoteLiteral(grant.expiresAt.toISOString())} ` +
    `in role ${handle.memberOf.map(quoteIdentifier).join(', ')}`
  const body =
    `begin if clock_timestamp() > ${quoteLiteral(grant.issueBefore.toISOString())}::timestamptz then ` +
    `raise exception 'too late' using errcode = '${TOO_LATE}'; end if; execute ${quoteLiteral(create)}; end`
  return `do ${quoteLiteral(body)}`
}

export function credentialOf(
  server: Server,
  grant: GrantRequest,
  handle: Handle,
  password: Secret<string>,
): Issued['credential'] {
  const { agentHost, agentPort, tls } = server
  const uri = new URL(`postgresql://${agentHost.includes(':') ? `[${agentHost}]` : agentHost}:${agentPort}`)
  uri.pathname = `/${encodeURIComponent(handle.database)}`
  uri.username = handle.role
  uri.password = password.reveal()
  uri.search = `?application_name=${encodeURIComponent(`taskgrant/${grant.taskId}`)}${tls === undefined ? '' : '&sslmode=verify-full'}`
  return new Secret({
    kind: 'postgres',
    username: handle.role,
    password: password.reveal(),
    host: agentHost,
    port: agentPort,
    database: handle.database,
    uri: uri.href,
    expiresAt: grant.expiresAt.toISOString(),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
  })
}
