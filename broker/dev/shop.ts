import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { ensureDatabase } from '../db/ensure-database.ts'
import { Secret } from '../secret.ts'

const SHOP = 'shop'
const ADMIN = 'shop_grants_admin'

// One text is one transaction: a start that dies half-way leaves nothing half-made.
const ROLES = `
  create role shop_reader nologin;
  create role shop_writer nologin;
  create role ${ADMIN} login createrole;
  grant shop_reader, shop_writer to ${ADMIN} with admin option;
`

const SCHEMA = `
  revoke create on schema public from public;
  create table customers (id integer primary key, name text not null, city text not null);
  create table orders (
    id integer primary key, customer_id integer not null references customers (id),
    item text not null, status text not null, ordered_on date not null);
  insert into customers values (1, 'Customer 1', 'Lisbon'), (2, 'Customer 2', 'Osaka'), (3, 'Customer 3', 'Quito');
  insert into orders values
    (4709, 1, 'kettle', 'delivered', '2026-01-12'), (4710, 2, 'lamp', 'shipped', '2026-01-19'),
    (4711, 3, 'bicycle', 'delayed', '2026-01-20'), (4712, 1, 'desk', 'open', '2026-01-23');
  grant usage on schema public to shop_reader, shop_writer;
  grant select on all tables in schema public to shop_reader;
  grant select, insert, update, delete on all tables in schema public to shop_writer;
  grant create on schema public to shop_writer;
`

/**
 * Sets up the demo database with the roles that its accesses are made of and an administrator that is no superuser:
 * the broker's own way of working, from the first start on. Answers the administrator's URL.
 */
export async function setUpShop(superuserUrl: (database: string) => Secret<string>): Promise<Secret<string>> {
  const password = randomBytes(24).toString('base64url')
  await ensureDatabase(superuserUrl('postgres'), SHOP)
  await withClient(superuserUrl('postgres'), async (client) => {
    const found = await client.query('select from pg_roles where rolname = $1', [ADMIN])
    if (found.rowCount === 0) await client.query(ROLES)
    // Made anew at every start, so that it is kept nowhere.
    await client.query(`alter role ${ADMIN} password ${client.escapeLiteral(password)}`)
  })
  await withClient(superuserUrl(SHOP), async (client) => {
    const found = await client.query(`select to_regclass('public.orders') as orders`)
    if (found.rows[0]?.orders === null) await client.query(SCHEMA)
  })
  const url = new URL(superuserUrl(SHOP).reveal())
  url.username = ADMIN
  url.password = password
  return new Secret(url.href)
}

async function withClient(url: Secret<string>, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url.reveal() })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
