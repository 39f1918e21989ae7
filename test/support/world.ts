import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { stringify } from 'yaml'
import { connect, freshDatabase, serverUrl } from './postgres.ts'

/** A store, a shop with its roles, an issuer of tokens and a configuration: what a broker needs to run. */
export interface World extends AsyncDisposable {
  readonly folder: string
  readonly configFile: string
  readonly storeUrl: string
  /** The shop database as superuser. */
  readonly shopUrl: string
  readonly reader: string
  readonly writer: string
  token(workload: string, claims?: Record<string, unknown>): Promise<string>
  userToken(user: string, claims?: Record<string, unknown>): Promise<string>
  /** Rewrites the configuration with these changes on top. */
  configure(changes: Record<string, unknown>): Promise<void>
}

export const ISSUER = 'https://issuer.test'

const POLICIES = `
@id("agents") permit (principal, action in [Action::"openTask", Action::"requestGrant", Action::"renewGrant"], resource)
  when { principal.id like "mcp-*" };
@id("capped") @maxTtl("10m") permit (principal, action == Action::"requestGrant", resource == Access::"shop-db/capped")
  when { principal.id like "mcp-*" };
@id("no-secrets") forbid (principal, action == Action::"requestGrant", resource == Access::"shop-db/forbidden");
@id("admins") permit (principal, action in [Action::"readTask", Action::"endTask", Action::"revoke", Action::"readAudit"], resource)
  when { principal.id like "admin-*" };
`

const SCHEMA = `
  create table orders (id integer primary key, item text not null);
  insert into orders select i, 'item ' || i from generate_series(1, 5) as i;
  revoke create on schema public from public;
`

export async function createWorld(): Promise<World> {
  const suffix = randomBytes(5).toString('hex')
  const folder = await mkdtemp(join(tmpdir(), 'taskgrant-test-'))
  const [store, shop] = await Promise.all([freshDatabase('store'), freshDatabase('shop')])
  const [reader, writer] = [`shop_reader_${suffix}`, `shop_writer_${suffix}`]
  const client = await connect(shop.url)
  await client.query(SCHEMA)
  await client.query(`
    create role ${reader} nologin; create role ${writer} nologin;
    grant select on orders to ${reader};
    grant select, insert, update, delete on orders to ${writer};
    grant usage on schema public to ${reader}, ${writer};
    grant create on schema public to ${writer};`)
  await client.end()

  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'test', alg: 'ES256' }
  await mkdir(join(folder, 'policies'))
  await writeFile(join(folder, 'policies', 'test.cedar'), POLICIES)
  const configFile = join(folder, 'taskgrant.yaml')
  const config = {
    listen: { port: 0 },
    store: { url: store.url, poolSize: 10 },
    issuers: [
      {
        issuer: ISSUER,
        audience: 'taskgrant',
        jwks: { keys: [jwk] },
        workload: { id: 'sub', groups: 'groups' },
        user: { id: 'sub', audience: 'taskgrant-user' },
      },
    ],
    policies: './policies',
    resources: {
      'shop-db': {
        adapter: 'postgres',
        admin: shop.url,
        access: {
          read: { memberOf: reader },
          write: { memberOf: writer },
          capped: { memberOf: reader },
          forbidden: { memberOf: reader },
        },
      },
    },
  }
  const configure = (changes: Record<string, unknown>): Promise<void> =>
    writeFile(configFile, stringify({ ...config, ...changes }))
  await configure({})

  const sign = (audience: string, subject: string, claims: Record<string, unknown>): Promise<string> =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'test' })
      .setIssuer(ISSUER)
      .setAudience(audience)
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime('15m')
      .sign(privateKey)

  return {
    folder,
    configFile,
    storeUrl: store.url,
    shopUrl: shop.url,
    reader,
    writer,
    token: (workload, claims = {}) => sign('taskgrant', workload, claims),
    userToken: (user, claims = {}) => sign('taskgrant-user', user, claims),
    configure,
    async [Symbol.asyncDispose]() {
      await dropTaskRoles(store.url)
      await store.drop()
      await shop.drop()
      const admin = await connect(serverUrl())
      await admin.query(`drop role if exists ${reader}, ${writer}`)
      await admin.end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Removes the users that a test left behind on purpose. */
async function dropTaskRoles(storeUrl: string): Promise<void> {
  const store = await connect(storeUrl)
  const known = await store
    .query<{ store_id: string }>('select store_id from taskgrant.store')
    .catch(() => ({ rows: [] as { store_id: string }[] }))
  await store.end()
  const storeId = known.rows[0]?.store_id
  if (storeId === undefined) return
  const admin = await connect(serverUrl())
  const roles = await admin.query<{ rolname: string }>(`select rolname from pg_roles where rolname like $1`, [
    `tg\\_${storeId}\\_%`,
  ])
  for (const { rolname } of roles.rows) await admin.query(`drop role "${rolname}"`).catch(() => undefined)
  await admin.end()
}
