import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { paramsOf } from '../../adapters/x509/params.ts'
import { access, KEY_TYPES, settings } from '../../adapters/x509/settings.ts'
import { packageRoot } from '../../broker/package-root.ts'

const README = readFileSync(join(packageRoot(), 'adapters', 'x509', 'README.md'), 'utf8')

test('the example is a configuration that is accepted', () => {
  const [, yaml = ''] = /```yaml\n([\s\S]+?)```/.exec(README) ?? []
  const { adapter, access: accesses, ...rest } = parse(yaml).resources['internal-api']
  expect(adapter).toBe('x509')
  expect(settings.parse(rest)).toMatchObject({ trustDomain: 'example.com', revocation: 'listed' })
  for (const { maxTtl, ...one } of Object.values<{ maxTtl: string }>(accesses)) {
    expect(maxTtl).toMatch(/^\d+h$/)
    expect(access.safeParse(one).success).toBe(true)
  }
})

test('every key has a row in its tables, with its default', () => {
  const rows = new Map(
    [...README.matchAll(/^\| `([^`]+)` \| ([^|]*) \|/gm)].map(([, key, what]) => [key, what]),
  )
  const own = [...Object.keys(settings.shape), ...Object.keys(access.shape)]
  expect(own.filter((key) => !rows.has(key))).toEqual([])
  const { crlSeconds, ocspSeconds, organization, revocation } = settings.parse({
    trustDomain: 'a',
    ca: { createdInFolder: 'a' },
  })
  for (const [key, value] of Object.entries({ crlSeconds, ocspSeconds, organization, revocation }))
    expect(rows.get(key)).toMatch(new RegExp(`^\`?${value}\`?$`))
  for (const keyType of KEY_TYPES) expect(README).toContain(`\`${keyType}\``)
  expect(Object.keys(paramsOf([]).parse({})).filter((key) => !rows.has(key))).toEqual([])
})
