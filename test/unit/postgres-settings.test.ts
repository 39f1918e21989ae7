import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Adapter } from '../../broker/adapter.ts'
import { postgresAdapter } from '../../adapters/postgres/index.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'

const ADMIN = 'postgresql://adm:hunter2%40@db.example.com:5433/shop'

function create(settings: Record<string, unknown>): Adapter {
  return postgresAdapter.create({
    ...NO_SERVICES,
    resource: 'db',
    settings: postgresAdapter.settings.parse(settings),
    accesses: new Map([['read', postgresAdapter.access.parse({ memberOf: 'shop_reader' })]]),
  })
}

function plan(settings: Record<string, unknown>, access: Record<string, unknown> = {}): unknown {
  return postgresAdapter
    .create({
      ...NO_SERVICES,
      resource: 'db',
      settings: postgresAdapter.settings.parse(settings),
      accesses: new Map([['read', postgresAdapter.access.parse({ memberOf: 'shop_reader', ...access })]]),
    })
    .plan({
      grantId: '0190A1B2-c3d4-7e5f-8a9b-0c1d2e3f4a5b',
      taskId: 't',
      storeId: 'abcd1234',
      access: 'read',
      params: {},
      workloadId: 'w',
      ttlSeconds: 60,
    })
}

describe('settings of a postgres resource', () => {
  it('never show the administrator’s password', () => {
    const settings = postgresAdapter.settings.parse({ admin: ADMIN })
    expect(JSON.stringify(settings) + inspect(settings, { depth: 9 })).not.toContain('hunter2')
    const refused = postgresAdapter.settings.safeParse({ admin: `${ADMIN}?sslmode=hunter2` })
    expect(JSON.stringify(refused.error)).not.toContain('hunter2')
  })

  it.each([
    ['mysql://a:b@c/d'],
    ['postgresql:///shop'],
    ['postgresql://db.example.com/shop'],
    ['not a url'],
    [`${ADMIN}?sslmode=prefer`],
    [`${ADMIN}?sslmode=no-verify`],
    [`${ADMIN}?host=/tmp`],
    ['postgresql://adm:%zz@db.example.com/shop'],
  ])('refuse %s as admin', (admin) => {
    expect(postgresAdapter.settings.safeParse({ admin }).success).toBe(false)
  })

  it.each([
    [`${ADMIN}?sslmode=disable`, {}, /sslmode=disable, but this resource is reached with TLS/],
    [`${ADMIN}?sslmode=verify-full`, { tls: { mode: 'plaintext' } }, /reached without TLS/],
    ['postgresql://a:b@localhost/d?sslmode=require', {}, /reached without TLS/],
    [ADMIN, { tls: { caFile: '/no/such/file' } }, /cannot be read/],
    [ADMIN, { tls: { caFile: import.meta.filename } }, /holds no PEM certificate/],
    [ADMIN, { tls: { mode: 'plaintext', caFile: '/x' } }, /has no use/],
  ])('that contradict each other are refused: %s %j', (admin, more, message) => {
    expect(() => create({ admin, ...more })).toThrow(message)
  })

  it('refuse unknown keys, empty lists and names that Postgres would cut', () => {
    expect(postgresAdapter.settings.safeParse({ admin: ADMIN, pool: 3 }).success).toBe(false)
    for (const memberOf of ['', [], 'x'.repeat(64), 'ü'.repeat(32), 'a\nb', ['a', '']]) {
      expect(postgresAdapter.access.safeParse({ memberOf }).success, JSON.stringify(memberOf)).toBe(false)
    }
    expect(create({ admin: ADMIN }).params('read').safeParse({ any: 1 }).success).toBe(false)
  })
})

describe('the plan of a grant', () => {
  it('names role and server by ids and configuration alone', () => {
    expect(plan({ admin: ADMIN })).toEqual({
      role: 'tg_abcd1234_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b',
      server: 'db.example.com:5433',
      database: 'shop',
      memberOf: ['shop_reader'],
      owner: 'shop_reader',
    })
  })

  it('follows the settings', () => {
    const admin = 'postgres://adm:pw@DB.Example.com'
    const access = { memberOf: ['a', 'b'], owner: 'heir' }
    expect(plan({ admin, database: 'other', connect: { host: 'elsewhere' } }, access)).toMatchObject({
      server: 'db.example.com:5432',
      database: 'other',
      memberOf: ['a', 'b'],
      owner: 'heir',
    })
    expect(plan({ admin: 'postgres://adm:pw@[::1]:6000' })).toMatchObject({
      server: '[::1]:6000',
      database: 'adm',
    })
  })
})
