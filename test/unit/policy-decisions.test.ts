import { expect, test } from 'vitest'
import { compilePolicies } from '../../broker/policy/load-policies.ts'
import type {
  Action,
  Decision,
  PolicyEngine,
  Question,
  TaskFacts,
} from '../../broker/policy/policy-engine.ts'

const time = new Date('2026-06-01T12:00:00.000Z')
const workload = { id: 'mcp-orders', issuer: 'https://idp.test', subject: 'orders', groups: ['agents'] }
const alice = { id: 'alice', issuer: 'https://idp.test', subject: 'alice' }
const read = { kind: 'access', resource: 'shop-db', access: 'read' } as const
const BROKER = { kind: 'broker' } as const

const engine = (text: string): PolicyEngine => compilePolicies([{ file: 'test.cedar', text }])
const task = (changes: Partial<TaskFacts> = {}): Question['on'] => ({
  kind: 'task',
  task: { id: 't-1', owner: workload, purpose: 'answer ticket 4711', labels: { ticket: '4711' }, ...changes },
})

interface Asked {
  readonly by?: Partial<typeof workload>
  readonly context?: Partial<Question['context']>
}

function ask(
  policies: PolicyEngine,
  action: Action,
  on: Question['on'],
  { by, context }: Asked = {},
): Decision {
  return policies.decide({ action, workload: { ...workload, ...by }, on, context: { time, ...context } })
}

/** Does the condition hold for a question that is permitted only then? */
function holds(condition: string, on: Question['on'] = BROKER, asked: Asked = {}): boolean {
  const action = on.kind === 'broker' ? 'openTask' : on.kind === 'access' ? 'requestGrant' : 'revoke'
  const type = on.kind === 'task' ? 'resource is Task' : 'resource'
  const policies = engine(
    `@id("only") permit (principal, action == Action::"${action}", ${type}) when { ${condition} };`,
  )
  const decision = ask(policies, action, on, asked)
  expect(decision.errors).toEqual([])
  return decision.allowed
}

test('without policies nothing is allowed but what is built in', () => {
  const none = engine('')
  expect(ask(none, 'requestGrant', read)).toEqual({
    allowed: false,
    action: 'requestGrant',
    policies: [],
    policySet: none.policySet,
    errors: [],
  })
  for (const action of ['openTask', 'readAudit', 'revoke', 'readTask', 'endTask'] as const) {
    expect(ask(none, action, BROKER).allowed).toBe(false)
  }
  for (const action of ['renewGrant', 'approve'] as const) expect(ask(none, action, read).allowed).toBe(false)
  expect(none.policyIds).toEqual(['taskgrant:owner'])
})

test('an owner may read and end its task, not revoke it; nobody else may do any of it', () => {
  const none = engine('')
  const allowed = (action: Action, by: Partial<typeof workload> = {}): boolean =>
    ask(none, action, task(), { by }).allowed
  expect([allowed('readTask'), allowed('endTask'), allowed('revoke')]).toEqual([true, true, false])
  expect(allowed('readTask', { id: 'mcp-other' })).toBe(false)
  expect(allowed('endTask', { issuer: 'https://other.test' })).toBe(false)
})

test('the owner of the same name from another issuer is another workload, for every policy', () => {
  const elsewhere = task({ owner: { ...workload, issuer: 'https://other.test' } })
  expect(holds('resource.owner == principal', task())).toBe(true)
  expect(holds('resource.owner == principal', elsewhere)).toBe(false)
  expect(
    holds('resource.owner.id == principal.id && resource.owner.issuer == "https://other.test"', elsewhere),
  ).toBe(true)
  expect(holds('principal.issuer == "https://idp.test"', elsewhere)).toBe(true)
  const user = { ...alice, issuer: 'https://other.test' }
  const asked = { context: { delegation: { user, actors: [] } } }
  const same =
    'context has onBehalfOf && resource has onBehalfOf && resource.onBehalfOf == context.onBehalfOf'
  expect(holds(same, task({ onBehalfOf: alice }), asked)).toBe(false)
  expect(holds(same, task({ onBehalfOf: user }), asked)).toBe(true)
})

test('a decision names the policies that made it, sorted, and the set', () => {
  const policies = engine(`
    @id("z") permit (principal, action, resource);
    @id("a") permit (principal in Group::"agents", action, resource);
    @id("other") permit (principal in Group::"nobody", action, resource);`)
  expect(ask(policies, 'requestGrant', read)).toMatchObject({ allowed: true, policies: ['a', 'z'] })
  expect(policies.policySet).toMatch(/^[0-9a-f]{64}$/)
  expect(policies.policyIds).toEqual(['a', 'other', 'taskgrant:owner', 'z'])
})

test('a forbid wins and is named', () => {
  const policies = engine(`
    @id("all") permit (principal, action, resource);
    @id("not-write") forbid (principal, action, resource == Access::"shop-db/write");`)
  const write = { kind: 'access', resource: 'shop-db', access: 'write' } as const
  expect(ask(policies, 'requestGrant', write)).toMatchObject({ allowed: false, policies: ['not-write'] })
  expect(ask(policies, 'requestGrant', read)).toMatchObject({ allowed: true, policies: ['all'] })
})

test('the smallest cap of the policies that permit counts, and of no others', () => {
  const policies = engine(`
    @id("none") permit (principal, action == Action::"openTask", resource);
    @id("hour") @maxTtl("1h") permit (principal, action in [Action::"openTask", Action::"requestGrant"], resource);
    @id("quarter") @maxTtl("15m") permit (principal, action == Action::"requestGrant", resource in Resource::"shop-db");
    @id("minute") @maxTtl("1m") permit (principal in Group::"others", action, resource);`)
  expect(ask(policies, 'openTask', BROKER).maxTtlSeconds).toBe(3600)
  expect(ask(policies, 'requestGrant', read).maxTtlSeconds).toBe(900)
  expect(
    ask(engine('@id("x") permit (principal, action, resource);'), 'openTask', BROKER),
  ).not.toHaveProperty('maxTtlSeconds')
})

test('a policy that cannot be evaluated denies, whether it permits or forbids', () => {
  const overflow = 'context has ttlSeconds && context.ttlSeconds * 9223372036854775807 > 1'
  for (const effect of ['forbid', 'permit']) {
    const policies = engine(`
      @id("all") permit (principal, action, resource);
      @id("broken") ${effect} (principal, action, resource) when { ${overflow} };`)
    expect(ask(policies, 'openTask', BROKER, { context: { ttlSeconds: 5 } })).toMatchObject({
      allowed: false,
      policies: ['broken'],
      errors: [expect.stringMatching(/^broken: integer overflow/)],
    })
    expect(ask(policies, 'openTask', BROKER).allowed).toBe(true)
  }
})

test.each<[string, Action, Question['on'], Partial<Question['context']>]>([
  ['an action that does not go with its resource', 'openTask', read, {}],
  ['half a second', 'requestGrant', read, { ttlSeconds: 0.5 }],
  ['no number of seconds', 'requestGrant', read, { ttlSeconds: Number.NaN }],
  ['no date', 'requestGrant', read, { time: new Date(Number.NaN) }],
  ['a date that Cedar cannot hold', 'requestGrant', read, { time: new Date(8e15) }],
  ['half a character', 'requestGrant', read, { purpose: '\ud800' }],
  ['a label that could be another', 'requestGrant', read, { labels: { 'a=b': 'c' } }],
  ['an access that could be another', 'requestGrant', { ...read, resource: 'shop-db/read' }, {}],
])('a question with %s is denied with an error', (_name, action, on, context) => {
  const decision = ask(engine('@id("all") permit (principal, action, resource);'), action, on, { context })
  expect(decision).toMatchObject({ allowed: false, policies: [], errors: [expect.any(String)] })
})

test('policies see the request: purpose, labels, time to live, user, actors and time', () => {
  const delegation = { user: alice, actors: [{ subject: 'agent-1', issuer: 'x' }, { subject: 'agent-2' }] }
  const asked = { context: { purpose: 'answer', labels: { env: 'prod' }, ttlSeconds: 300, delegation } }
  expect(holds('context has purpose && context.purpose like "ans*"', BROKER, asked)).toBe(true)
  expect(holds('context has purpose')).toBe(false)
  expect(holds('context.labels.contains("env=prod")', BROKER, asked)).toBe(true)
  expect(holds('context has ttlSeconds && context.ttlSeconds <= 300', BROKER, asked)).toBe(true)
  expect(holds('context has onBehalfOf && context.onBehalfOf == User::"alice"', BROKER, asked)).toBe(true)
  expect(
    holds('context has onBehalfOf && context.onBehalfOf.issuer == "https://idp.test"', BROKER, asked),
  ).toBe(true)
  expect(holds('context.actors == ["agent-2", "agent-1"]', BROKER, asked)).toBe(true)
  expect(holds('context has onBehalfOf || !context.actors.isEmpty()')).toBe(false)
  expect(holds('context.time < datetime("2026-06-01T12:00:01Z")')).toBe(true)
  expect(holds('context.time.toTime() >= duration("13h")')).toBe(false)
})

test('policies see what it is about: resource, access, task with labels, owner and user', () => {
  expect(holds('resource in Resource::"shop-db" && resource in Broker::"taskgrant"', read)).toBe(true)
  expect(holds('resource.name == "read" && resource.resource == "shop-db"', read)).toBe(true)
  expect(holds('resource.hasTag("ticket") && resource.getTag("ticket") == "4711"', task())).toBe(true)
  expect(holds('resource.hasTag("other")', task())).toBe(false)
  expect(holds('resource.purpose like "*4711"', task())).toBe(true)
  expect(
    holds('resource has onBehalfOf && resource.onBehalfOf == User::"alice"', task({ onBehalfOf: alice })),
  ).toBe(true)
  expect(holds('resource has onBehalfOf', task())).toBe(false)
  expect(holds('resource == Broker::"taskgrant"')).toBe(true)
})

test.each([
  '"',
  '\\',
  '\\"',
  '\n',
  '\u0000',
  '"; permit (principal, action, resource);',
  '*',
  'é',
  'e\u0301',
  '🦄',
  '{"__entity":{}}',
  '__entity',
  '\u202e',
])('text with %j is only text wherever it stands', (text) => {
  const policies = engine('@id("admin") permit (principal == Workload::"admin", action, resource);')
  const hostile = { id: `admin${text}`, issuer: text, subject: text, groups: [text] }
  const delegation = { user: { id: text, issuer: text, subject: text }, actors: [{ subject: text }] }
  const context = { purpose: text, labels: { [`k${text}`]: text }, delegation }
  const facts = {
    id: text,
    owner: hostile,
    purpose: text,
    labels: { [text]: text },
    onBehalfOf: delegation.user,
  }
  for (const [action, on] of [
    ['openTask', BROKER],
    ['requestGrant', { kind: 'access', resource: text, access: text }],
    ['revoke', { kind: 'task', task: facts }],
  ] as const) {
    expect(ask(policies, action, on, { by: hostile, context })).toMatchObject({ allowed: false, errors: [] })
    expect(ask(policies, action, on, { by: { ...hostile, id: 'admin' }, context }).allowed).toBe(true)
  }
  const quoted = JSON.stringify(text)
    .replaceAll(/\\u(.{4})/g, '\\u{$1}')
    .replaceAll('\u202e', '\\u{202e}')

  expect(holds(`context has purpose && context.purpose == ${quoted}`, BROKER, { context })).toBe(true)
})

test('labels named like members of objects are labels', () => {
  for (const key of ['__proto__', 'constructor', 'toString', '__entity', '__extn']) {
    const labels: Record<string, string> = JSON.parse(`{"${key}":"x"}`)
    expect(holds(`resource.hasTag("${key}") && resource.getTag("${key}") == "x"`, task({ labels }))).toBe(
      true,
    )
    expect(holds(`context.labels.contains("${key}=x")`, BROKER, { context: { labels } })).toBe(true)
  }
  expect(holds('(resource.hasTag("__proto__") || resource.hasTag("constructor"))', task())).toBe(false)
})

test('two sets at once do not disturb each other, and equal ones have one name', () => {
  const all = engine('@id("all") permit (principal, action, resource);')
  const none = engine('')
  const again = compilePolicies([
    { file: 'a.cedar', text: '// empty' },
    { file: 'b.cedar', text: '// a comment\n@id("all") permit (principal, action, resource);' },
  ])
  expect([all, none, again].map((policies) => ask(policies, 'openTask', BROKER).allowed)).toEqual([
    true,
    false,
    true,
  ])
  expect(again.policySet).toBe(all.policySet)
  expect(none.policySet).not.toBe(all.policySet)
})
