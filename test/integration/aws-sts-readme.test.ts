import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { adapterKinds } from '../../adapters/index.ts'
import { parseConfig } from '../../broker/config.ts'
import type { PolicyDocument } from '../../broker/dev/aws/policy-document.ts'
import { allow, arnOf, assume, type Keys } from '../unit/aws-emulator-steps.ts'
import {
  call,
  CONTENT,
  DENIED,
  denialsOf,
  ENDED,
  MINUTE,
  roleNamed,
  startAws,
  STORE,
  type AwsFixture,
} from './aws-sts-steps.ts'

const README = new URL('../../adapters/aws-sts/README.md', import.meta.url)

async function blocks(language: string): Promise<string[]> {
  const text = await readFile(README, 'utf8')
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, found, content = '']) =>
    found === language ? [content] : [],
  )
}

/** An AWS with what the README says and nothing else, and the keys of a broker in it. */
async function startAsInReadme(): Promise<{ fixture: AwsFixture; broker: Keys }> {
  const [trust, policy] = (await blocks('json')).map((text) => JSON.parse(text) as PolicyDocument)
  if (trust === undefined || policy === undefined) throw new Error('the README has no such policies')
  const fixture = await startAws({
    brokerPolicies: [allow('sts:AssumeRole', arnOf('taskgrant-broker'))],
    roles: [
      roleNamed('taskgrant-broker', { policies: { taskgrant: policy } }),
      roleNamed('reports-reader', { trust }),
      roleNamed('untouched', { trust }),
    ],
  })
  const session = { RoleArn: arnOf('taskgrant-broker'), DurationSeconds: 43_200 }
  const { accessKeyId, secretAccessKey, sessionToken = '' } = await assume(fixture.world, session)
  return { fixture, broker: { accessKeyId, secretAccessKey, sessionToken } }
}

describe('with exactly the policies of the README', () => {
  let fixture: AwsFixture
  let broker: Keys
  beforeEach(async () => {
    ;({ fixture, broker } = await startAsInReadme())
  })
  afterEach(async () => {
    await fixture[Symbol.asyncDispose]()
  })
  const read = { roleArn: arnOf('reports-reader'), externalId: 'taskgrant-prod' }

  it('a broker does its whole job', async () => {
    const adapter = fixture.adapter({ credentials: broker, whenFull: 'deny-older' }, { read })
    await adapter.check(call())
    await adapter.prune?.(STORE, call())
    const sessions = await Promise.all(Array.from({ length: 12 }, () => fixture.issue(adapter)))
    for (const { handle, credential } of sessions) {
      expect(await fixture.read(credential)).toBe(CONTENT)
      expect(await adapter.revoke([handle], call())).toEqual([ENDED])
      expect(await fixture.read(credential)).toBe(DENIED)
    }
    fixture.advance(12 * MINUTE)
    await adapter.prune?.(STORE, call())
    expect(denialsOf(fixture, 'reports-reader')).toEqual(['taskgrant-abcd1234-reserve'])
  })

  it('a broker gets nowhere without the external id, and nowhere on another role', async () => {
    const accesses = { read: { roleArn: read.roleArn }, write: { ...read, roleArn: arnOf('untouched') } }
    const adapter = fixture.adapter({ credentials: broker }, accesses)
    for (const access of ['read', 'write']) {
      const request = fixture.request({ access })
      await expect(adapter.issue(request, adapter.plan(request), call())).rejects.toMatchObject({
        failure: 'failed',
      })
    }
    await expect(adapter.check(call())).rejects.toThrow(/untouched: allow it iam:GetRole/)
  })
})

describe('the example of the README', () => {
  it('is a configuration', async () => {
    const [example = ''] = await blocks('yaml')
    const { resources } = await parseConfig(
      { policies: 'policies', ...(parse(example) as object) },
      adapterKinds,
      '/',
    )
    expect([...(resources.get('reports-bucket')?.accesses.keys() ?? [])]).toEqual(['read', 'june'])
  })
})
