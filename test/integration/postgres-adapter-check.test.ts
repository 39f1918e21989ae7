import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { callFor, createPostgresFixture, type PostgresFixture } from '../contract/postgres-fixture.ts'
import { canLogIn } from '../support/database-user.ts'
import { expectWithdrawn } from './postgres-adapter-steps.ts'

let fixture: PostgresFixture
let version: number

beforeAll(async () => {
  fixture = await createPostgresFixture('least privilege')
  const { rows } = await fixture.root.query(`select current_setting('server_version_num')::int as version`)
  version = rows[0].version
})

afterAll(async () => {
  await fixture[Symbol.asyncDispose]()
})

async function problem(
  settings: Record<string, unknown> = {},
  access: Record<string, unknown> = {},
): Promise<string> {
  const adapter = fixture.adapter(settings, access)
  return adapter.check(callFor(5_000)).then(
    () => 'none',
    (error: unknown) => (error instanceof Error ? error.message : 'no error'),
  )
}

/** Takes a privilege away, expects the check to ask for it, and does what the check says. */
async function expectAdvice(takeAway: string, access: Record<string, unknown> = {}): Promise<void> {
  await fixture.root.query(takeAway)
  const message = await problem({}, access)
  expect(message, takeAway).toMatch(/: /)
  for (const advice of message.split(/; (?=the|role)/)) {
    await fixture.root.query(advice.slice(advice.indexOf(': ') + 2))
  }
  expect(await problem({}, access), takeAway).toBe('none')
}

describe('the check', () => {
  it('is content with what the README says, and so is all that follows', async () => {
    expect(await problem()).toBe('none')
    const adapter = fixture.adapter()
    await expectWithdrawn(fixture, adapter, await fixture.issue(adapter))
  })

  it('names the SQL for what is missing', async () => {
    const { admin, writer, reader, database, storeId } = fixture
    await expectAdvice(`alter role ${admin} nocreaterole`)
    await expectAdvice(`revoke ${writer} from ${admin}`)
    await expectAdvice(`create role heir_${storeId}`, {
      write: { memberOf: writer, owner: `heir_${storeId}` },
    })
    await fixture.root.query(`grant connect on database "${database}" to ${admin}`)
    await expectAdvice(`revoke connect on database "${database}" from public`, {
      read: { memberOf: writer },
      write: { memberOf: reader },
    })
    await fixture.root.query(`grant connect on database "${database}" to public`)
    if (version < 150_000) await expectAdvice(`revoke pg_signal_backend from ${admin}`)
    if (version < 160_000) await expectAdvice(`alter role ${admin} noinherit`)
    else {
      await expectAdvice(`grant ${writer} to ${admin} with inherit false`)
      await expectAdvice(`grant ${writer} to ${admin} with set false`)
      await expectAdvice(`revoke admin option for ${writer} from ${admin}`)
    }
    await fixture.root.query(`drop role heir_${storeId}`)
  })

  it('refuses roles through which a user could make what outlives it', async () => {
    const role = `power_${fixture.storeId}`
    await fixture.root.query(`create role ${role} in role ${fixture.writer}`)
    await fixture.root.query(`grant ${role} to ${fixture.admin} with admin option`)
    const access = { read: { memberOf: role } }
    expect(await problem({}, access)).toBe('none')
    await fixture.root.query(`grant pg_execute_server_program to ${role}`)
    expect(await problem({}, access)).toMatch(
      /may make what outlives a grant through "pg_execute_server_program"/,
    )
    await fixture.root.query(`revoke pg_execute_server_program from ${role}`)
    await fixture.root.query(`alter role ${role} createrole`)
    expect(await problem({}, access)).toMatch(/may make what outlives a grant: /)
    await fixture.root.query(`drop role ${role}`)
  })

  it('says what is wrong with the database that agents are told', async () => {
    expect(await problem({ database: 'no such' })).toBe(
      'the database does not exist: create database "no such"',
    )
    expect(await problem({ database: 'template0' })).toMatch(/takes no connections/)
  })

  it('says what is wrong with the way there, and never the password', async () => {
    const password = randomBytes(8).toString('hex')
    const url = new URL(fixture.adminUrl)
    url.password = password
    const refused = await problem({ admin: url.href })
    expect(refused).toBe('the server refuses the password of the administrator')
    url.port = '1'
    expect(await problem({ admin: url.href })).toBe('the server cannot be reached: ECONNREFUSED')
    url.pathname = '/nowhere'
    url.port = new URL(fixture.adminUrl).port
    url.password = new URL(fixture.adminUrl).password
    expect(await problem({ admin: url.href })).toBe('the database does not exist on the server')
  })
})

describe('issuing', () => {
  it('says in words of its own what stands in the way', async () => {
    const { admin, writer } = fixture
    const odd = fixture.adapter({}, { write: { memberOf: 'no_such_role' } })
    const missing = fixture.issue(odd)
    await expect(missing).rejects.toMatchObject({
      failure: 'failed',
      settled: true,
      message: 'a role of memberOf does not exist on the server: "no_such_role"',
    })
    await fixture.root.query(`alter role ${admin} nocreaterole`)
    const denied = fixture.issue(fixture.adapter())
    await expect(denied).rejects.toMatchObject({
      settled: true,
      message: expect.stringContaining(`"${writer}"`),
    })
    await fixture.root.query(`alter role ${admin} createrole`)
  })

  it('gives a role that can do what its access says, and nothing else', async () => {
    const adapter = fixture.adapter(
      {},
      { write: { memberOf: [fixture.reader, fixture.writer], connectionLimit: 1 } },
    )
    const user = await fixture.issue(adapter)
    const { rows } = await fixture.root.query(
      `select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolinherit, rolcanlogin, rolconnlimit,
         rolvaliduntil as "validUntil",
         array(select m.roleid::regrole::text from pg_auth_members as m where m.member = r.oid order by 1) as member_of
       from pg_roles as r where rolname = $1`,
      [user.role],
    )
    expect(rows).toEqual([
      {
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        rolinherit: true,
        rolcanlogin: true,
        rolconnlimit: 1,
        validUntil: user.grant.expiresAt,
        member_of: [fixture.reader, fixture.writer],
      },
    ])
    await expectWithdrawn(fixture, adapter, user)
  })

  it.each([1, 1_000, 4_096, 20_000])(
    'makes passwords that log in, at %i iterations',
    async (scramIterations) => {
      const adapter = fixture.adapter({ scramIterations })
      const user = await fixture.issue(adapter)
      expect(await canLogIn(user.uri)).toBe(true)
      const { rows } = await fixture.root.query('select rolpassword from pg_authid where rolname = $1', [
        user.role,
      ])
      expect(rows[0].rolpassword).toMatch(new RegExp(`^SCRAM-SHA-256\\$${scramIterations}:`))
      await expectWithdrawn(fixture, adapter, user)
    },
  )

  it('gives an order up on the server, too, when its caller does', async () => {
    const adapter = fixture.adapter()
    await fixture.root.query('begin')
    await fixture.root.query(`alter role ${fixture.writer} rename to writer_elsewhere_${fixture.storeId}`)
    await fixture.root.query(`lock table pg_auth_members in access exclusive mode`)
    const controller = new AbortController()
    const grant = { timeoutMs: 5_000, signal: controller.signal }
    const plan = {
      grantId: '01890000-0000-7000-8000-000000000001',
      taskId: 't',
      storeId: fixture.storeId,
      access: 'write',
      params: {},
      workloadId: 'w',
      ttlSeconds: 60,
      expiresAt: new Date(Date.now() + 60_000),
      issueBefore: new Date(Date.now() + 60_000),
    }
    const issuing = adapter.issue(plan, adapter.plan(plan), grant)
    setTimeout(() => controller.abort(), 200)
    await expect(issuing).rejects.toMatchObject({ failure: 'timeout', settled: true })
    await fixture.root.query('rollback')
    const { rowCount } = await fixture.root.query('select from pg_roles where starts_with(rolname, $1)', [
      `tg_${fixture.storeId}_`,
    ])
    expect(rowCount).toBe(0)
  })
})
