import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type pg from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { postgresAdapter } from '../../adapters/postgres/index.ts'
import type { Adapter, Call, Credential, GrantRequest } from '../../broker/adapter.ts'
import type { JsonObject } from '../../broker/json.ts'
import { connect, freshDatabase, serverUrl } from '../support/postgres.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'

export type AdminKind = 'superuser' | 'least privilege'

/** A database with a table, the roles that its accesses are made of, and an administrator. */
export interface PostgresFixture extends AsyncDisposable {
  readonly storeId: string
  readonly reader: string
  readonly writer: string
  readonly admin: string
  readonly adminUrl: string
  /** The superuser, in the same database. */
  readonly root: pg.Client
  readonly rootUrl: string
  readonly database: string
  adapter(settings?: Record<string, unknown>, access?: Record<string, unknown>): Adapter
  /** Issues with an adapter of this fixture. */
  issue(adapter: Adapter, options?: IssueOptions): Promise<IssuedUser>
}

export interface IssueOptions {
  readonly access?: string
  readonly ttlMs?: number
}

export interface IssuedUser {
  readonly handle: JsonObject
  readonly role: string
  readonly uri: string
  readonly credential: Credential
  readonly grant: GrantRequest
}

export function callFor(timeoutMs: number): Call {
  return { signal: AbortSignal.timeout(timeoutMs), timeoutMs }
}

export function newStoreId(): string {
  return BigInt(`0x${randomBytes(6).toString('hex')}`)
    .toString(36)
    .slice(-8)
    .padStart(8, '0')
}

/** The SQL that the adapter's README tells people to run, for the version of this server. */
async function leastPrivilegeSql(version: number): Promise<string> {
  const readme = await readFile(new URL('../../adapters/postgres/README.md', import.meta.url), 'utf8')
  const major = Math.floor(version / 10_000)
  const heading = major >= 16 ? '### PostgreSQL 16 and newer\n' : `### PostgreSQL ${major}\n`
  const block = readme.split(heading)[1]?.match(/```sql\n([^]*?)```/)?.[1]
  if (block === undefined) throw new Error(`the README has no SQL below "${heading}"`)
  return block
}

export async function createPostgresFixture(kind: AdminKind): Promise<PostgresFixture> {
  const storeId = newStoreId()
  const { url: rootUrl, drop } = await freshDatabase(`adapter_${storeId}`)
  const root = await connect(rootUrl)
  const [reader, writer, admin] = [`reader_${storeId}`, `writer_${storeId}`, `admin_${storeId}`]
  await root.query(`
    create role ${reader} nologin; create role ${writer} nologin;
    revoke create on schema public from public;
    create table orders (id integer primary key, item text not null);
    insert into orders select i, 'item ' || i from generate_series(1, 5) as i;
    grant usage on schema public to ${reader}, ${writer};
    grant create on schema public to ${writer};
    do $$ begin execute format('grant create on database %I to ${writer}', current_database()); end $$;
    grant select on orders to ${reader};
    grant select, insert, update, delete on orders to ${writer};`)
  const adminUrl = new URL(rootUrl)
  if (kind === 'least privilege') {
    const { rows } = await root.query<{ version: number }>(
      `select current_setting('server_version_num')::int as version`,
    )
    const sql = await leastPrivilegeSql(rows[0]?.version ?? 0)
    await root.query(
      sql
        .replaceAll('shop_grants_admin', admin)
        .replaceAll('shop_reader', reader)
        .replaceAll('shop_writer', writer),
    )
    const password = randomBytes(12).toString('hex')
    await root.query(`alter role ${admin} password '${password}'`)
    adminUrl.username = admin
    adminUrl.password = password
  }
  const adapters: Adapter[] = []

  return {
    storeId,
    reader,
    writer,
    admin,
    adminUrl: adminUrl.href,
    root,
    rootUrl,
    database: decodeURIComponent(adminUrl.pathname.slice(1)),

    adapter(settings = {}, access = {}) {
      const adapter = postgresAdapter.create({
        ...NO_SERVICES,
        resource: 'db',
        settings: postgresAdapter.settings.parse({ admin: adminUrl.href, scramIterations: 1, ...settings }),
        accesses: new Map(
          Object.entries({ read: { memberOf: reader }, write: { memberOf: writer }, ...access }).map(
            ([name, one]) => [name, postgresAdapter.access.parse(one)],
          ),
        ),
      })
      adapters.push(adapter)
      return adapter
    },

    async issue(adapter, { access = 'write', ttlMs = 600_000 } = {}) {
      const grant: GrantRequest = {
        grantId: uuidv7(),
        taskId: uuidv7(),
        storeId,
        access,
        params: {},
        workloadId: 'test',
        ttlSeconds: Math.ceil(ttlMs / 1000),
        expiresAt: new Date(Date.now() + ttlMs),
        issueBefore: new Date(Date.now() + 10_000),
      }
      const handle = adapter.plan(grant)
      const issued = await adapter.issue(grant, handle, callFor(10_000))
      const credential = issued.credential.reveal()
      return { handle, role: String(handle['role']), uri: String(credential['uri']), credential, grant }
    },

    async [Symbol.asyncDispose]() {
      await Promise.all(adapters.map((adapter) => adapter[Symbol.asyncDispose]()))
      await root.end()
      await drop()
      await dropRoles(storeId, [reader, writer, admin])
    },
  }
}

/** What tests of a withdrawal that cannot succeed leave behind, and what the fixture made. */
async function dropRoles(storeId: string, names: readonly string[]): Promise<void> {
  const server = await connect(serverUrl())
  const { rows } = await server.query<{ rolname: string }>(
    'select rolname from pg_roles where starts_with(rolname, $1) or rolname = any($2)',
    [`tg_${storeId}_`, names],
  )
  const roles = rows.map(({ rolname }) => server.escapeIdentifier(rolname)).join(', ')
  if (roles !== '') {
    await server.query(`drop owned by ${roles} cascade`)
    await server.query(`drop role ${roles}`)
  }
  await server.end()
}
