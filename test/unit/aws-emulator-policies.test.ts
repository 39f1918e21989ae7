import { expect, test } from 'vitest'
import { PolicyError } from '../../broker/dev/aws/condition-operators.ts'
import { contextOf } from '../../broker/dev/aws/policy-conditions.ts'
import { parsePolicy, type Policy, type PolicyStatement } from '../../broker/dev/aws/policy-document.ts'
import { decide, evaluate, type Verdict } from '../../broker/dev/aws/policy-evaluation.ts'

const JUNE = 'arn:aws:s3:::reports/june'
const SESSION = 'AROAAAAAAAAAAAAAAAAAA:task-1'
const FACTS = {
  'aws:CurrentTime': '2026-06-01T12:00:00.000Z',
  'aws:EpochTime': '1780315200',
  'aws:TokenIssueTime': '2026-06-01T11:00:00.000Z',
  'aws:userid': SESSION,
  'aws:PrincipalArn': 'arn:aws:iam::123456789012:role/reader',
  'aws:MultiFactorAuthPresent': 'false',
  'aws:PrincipalTag/Task': 'T-1',
  'aws:TagKeys': ['a', 'b'],
}
const request = (facts: Parameters<typeof contextOf>[0] = FACTS) => ({
  action: 's3:GetObject',
  resource: JUNE,
  context: contextOf(facts),
})

const statement = (changes: Partial<PolicyStatement> = {}): PolicyStatement => ({
  Effect: 'Allow',
  Action: '*',
  Resource: '*',
  ...changes,
})
const policy = (...statements: PolicyStatement[]): Policy =>
  parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }), 'identity')

const say = (...statements: PolicyStatement[]): Verdict => evaluate([policy(...statements)], request())

/** Does a condition hold in the request above? */
function holds(operator: string, key: string, value: string | string[], facts = FACTS): boolean {
  const conditional = policy(statement({ Condition: { [operator]: { [key]: value } } }))
  return evaluate([conditional], request(facts)) === 'allowed'
}

const { Action: _action, ...noAction } = statement()
const { Resource: _resource, ...noResource } = statement()

test.each<[string, PolicyStatement, Verdict]>([
  ['everything', statement(), 'allowed'],
  ['the action in another case', statement({ Action: 'S3:getobject' }), 'allowed'],
  ['a pattern of actions', statement({ Action: ['ec2:*', 's3:Get*'] }), 'allowed'],
  ['a pattern with ?', statement({ Action: 's3:Get?bject' }), 'allowed'],
  ['another action', statement({ Action: 's3:PutObject' }), 'denied'],
  ['a part of the action', statement({ Action: 's3:Get' }), 'denied'],
  ['all but the action', { ...noAction, NotAction: 's3:Get*' }, 'denied'],
  ['all but another action', { ...noAction, NotAction: 'iam:*' }, 'allowed'],
  ['the resource', statement({ Resource: [JUNE] }), 'allowed'],
  ['a pattern of resources', statement({ Resource: 'arn:aws:s3:::rep*/j?ne' }), 'allowed'],
  ['the resource in another case', statement({ Resource: 'arn:aws:s3:::Reports/june' }), 'denied'],
  ['another account', statement({ Resource: 'arn:aws:s3::1:*' }), 'denied'],
  ['all but the resource', { ...noResource, NotResource: JUNE }, 'denied'],
  ['all but another resource', { ...noResource, NotResource: 'arn:aws:s3:::other/*' }, 'allowed'],
])('an allowance counts for what it names: %s', (_, allowance, expected) => {
  expect(say(allowance)).toBe(expected)
})

test('an explicit deny wins, wherever it is and whatever else allows it', () => {
  const deny = statement({ Effect: 'Deny', Action: 's3:*' })
  expect(say(statement(), deny)).toBe('explicitlyDenied')
  expect(say(deny, statement())).toBe('explicitlyDenied')
  expect(evaluate([policy(statement()), policy(deny)], request())).toBe('explicitlyDenied')
  expect(decide({ identity: [policy(statement())], session: [policy(deny)] }, request())).toBe(
    'explicitlyDenied',
  )
  expect(say(statement(), statement({ Effect: 'Deny', Action: 'iam:*' }))).toBe('allowed')
})

test('what nothing allows is denied', () => {
  expect(evaluate([], request())).toBe('denied')
  expect(decide({ identity: [policy(statement())], session: [] }, request())).toBe('denied')
})

test('a session may do what both its role and its session policies allow', () => {
  const [all, s3, iam] = [statement(), statement({ Action: 's3:*' }), statement({ Action: 'iam:*' })].map(
    (one) => policy(one),
  ) as [Policy, Policy, Policy]
  expect(decide({ identity: [s3], session: undefined }, request())).toBe('allowed')
  expect(decide({ identity: [all], session: [iam] }, request())).toBe('denied')
  expect(decide({ identity: [iam], session: [all] }, request())).toBe('denied')
  expect(decide({ identity: [iam, s3], session: [iam, s3] }, request())).toBe('allowed')
})

test('a session policy that only denies lets nothing through but with another that allows', () => {
  const deny = policy(statement({ Effect: 'Deny', Action: 'iam:*' }))
  const identity = [policy(statement())]
  expect(decide({ identity, session: [deny] }, request())).toBe('denied')
  expect(decide({ identity, session: [deny, policy(statement())] }, request())).toBe('allowed')
})

test.each<[operator: string, key: string, value: string | string[], expected: boolean]>([
  ['StringEquals', 'aws:userid', SESSION, true],
  ['StringEquals', 'AWS:UserID', SESSION, true],
  ['StringEquals', 'aws:userid', SESSION.toLowerCase(), false],
  ['StringEquals', 'aws:userid', 'AROA*', false],
  ['StringEquals', 'aws:userid', ['x', SESSION], true],
  ['StringNotEquals', 'aws:userid', ['x', SESSION], false],
  ['StringNotEquals', 'aws:userid', ['x', 'y'], true],
  ['StringEqualsIgnoreCase', 'aws:userid', SESSION.toLowerCase(), true],
  ['StringNotEqualsIgnoreCase', 'aws:userid', SESSION.toLowerCase(), false],
  ['StringLike', 'aws:userid', '*:task-?', true],
  ['StringLike', 'aws:userid', '*:TASK-?', false],
  ['StringNotLike', 'aws:userid', '*:task-?', false],
  ['StringEquals', 'aws:PrincipalTag/task', 'T-1', true],
  ['StringEquals', 'aws:PrincipalTag/other', 'T-1', false],
  ['ArnEquals', 'aws:PrincipalArn', 'arn:aws:iam::*:role/read*', true],
  ['ArnLike', 'aws:PrincipalArn', 'arn:aws:iam::*:role/read*', true],
  ['ArnLike', 'aws:PrincipalArn', 'arn:aws:*:*:*:*', true],
  ['ArnNotLike', 'aws:PrincipalArn', 'arn:aws:iam::*:role/read*', false],
  ['ArnLike', 'aws:PrincipalArn', 'arn:aws:iam::1:role/*', false],
  ['Bool', 'aws:MultiFactorAuthPresent', 'False', true],
  ['Bool', 'aws:MultiFactorAuthPresent', 'true', false],
  ['Null', 'aws:username', 'true', true],
  ['Null', 'aws:username', 'false', false],
  ['Null', 'aws:TokenIssueTime', 'false', true],
  ['Null', 'aws:TokenIssueTime', 'true', false],
  ['ForAllValues:StringEquals', 'aws:TagKeys', ['a', 'b', 'c'], true],
  ['ForAllValues:StringEquals', 'aws:TagKeys', ['a'], false],
  ['ForAnyValue:StringEquals', 'aws:TagKeys', ['b'], true],
  ['ForAnyValue:StringEquals', 'aws:TagKeys', ['c'], false],
])('%s of %s with %j: %s', (operator, key, value, expected) => {
  expect(holds(operator, key, value)).toBe(expected)
})

test.each<[operator: string, before: boolean, at: boolean, after: boolean]>([
  ['DateLessThan', true, false, false],
  ['DateLessThanEquals', true, true, false],
  ['DateGreaterThan', false, false, true],
  ['DateGreaterThanEquals', false, true, true],
  ['DateEquals', false, true, false],
  ['DateNotEquals', true, false, true],
])('%s is exact to the millisecond: before %s, at %s, after %s', (operator, ...expected) => {
  const times = ['11:59:59.999', '12:00:00.000', '12:00:00.001'].map((time) => `2026-06-01T${time}Z`)
  const found = times.map((time) =>
    holds(operator, 'aws:CurrentTime', '2026-06-01T12:00:00Z', { ...FACTS, 'aws:CurrentTime': time }),
  )
  expect(found).toEqual(expected)
})

test('a date may be written as a day or in seconds since 1970', () => {
  expect(holds('DateEquals', 'aws:CurrentTime', '1780315200')).toBe(true)
  expect(holds('DateEquals', 'aws:EpochTime', '2026-06-01T12:00:00Z')).toBe(true)
  expect(holds('DateGreaterThan', 'aws:CurrentTime', '2026-06-01')).toBe(true)
})

test.each<[operator: string, expected: boolean]>([
  ['StringEquals', false],
  ['StringLike', false],
  ['StringNotEquals', true],
  ['StringNotLike', true],
  ['ArnLike', false],
  ['ArnNotLike', true],
  ['StringEqualsIfExists', true],
  ['StringNotEqualsIfExists', true],
  ['ForAllValues:StringEquals', true],
  ['ForAnyValue:StringEquals', false],
  ['ForAnyValue:StringEqualsIfExists', true],
])('of a key that is missing, %s is %s', (operator, expected) => {
  expect(holds(operator, 'aws:SourceIdentity', 'arn:aws:iam::1:role/x')).toBe(expected)
})

test('of a date that is missing, a comparison is false', () => {
  const { 'aws:TokenIssueTime': _, ...facts } = FACTS
  const conditional = (operator: string): Policy =>
    policy(statement({ Condition: { [operator]: { 'aws:TokenIssueTime': '2030-01-01T00:00:00Z' } } }))
  expect(evaluate([conditional('DateLessThan')], request(facts))).toBe('denied')
  expect(evaluate([conditional('DateLessThanIfExists')], request(facts))).toBe('allowed')
})

test('IfExists changes nothing for a key that is there', () => {
  expect(holds('StringEqualsIfExists', 'aws:userid', 'x')).toBe(false)
  expect(holds('DateLessThanIfExists', 'aws:CurrentTime', '2026-06-01T12:00:00Z')).toBe(false)
})

test('all conditions of a statement must hold', () => {
  const both = (task: string): Verdict =>
    say(
      statement({
        Condition: {
          StringEquals: { 'aws:userid': SESSION, 'aws:PrincipalTag/Task': task },
          DateLessThan: { 'aws:CurrentTime': '2027-01-01T00:00:00Z' },
        },
      }),
    )
  expect([both('T-1'), both('T-2')]).toEqual(['allowed', 'denied'])
})

test.each<[string, Record<string, unknown>]>([
  ['an unknown operator', { Condition: { StringIs: { 'aws:userid': 'x' } } }],
  ['an operator in another case', { Condition: { stringequals: { 'aws:userid': 'x' } } }],
  ['an operator for addresses', { Condition: { IpAddress: { 'aws:userid': '10.0.0.0/8' } } }],
  ['an unknown set operator', { Condition: { 'ForSome:StringEquals': { 'aws:userid': 'x' } } }],
  ['NullIfExists', { Condition: { NullIfExists: { 'aws:userid': 'true' } } }],
  ['a key that no request has', { Condition: { StringEquals: { 'aws:user': 'x' } } }],
  ['a date that is none', { Condition: { DateLessThan: { 'aws:CurrentTime': 'tomorrow' } } }],
  ['a day that does not exist', { Condition: { DateLessThan: { 'aws:CurrentTime': '2026-02-30' } } }],
  ['a time without zone', { Condition: { DateLessThan: { 'aws:CurrentTime': '2026-06-01T12:00:00' } } }],
  ['a date compared with a name', { Condition: { DateLessThan: { 'aws:userid': '2026-06-01' } } }],
  ['a boolean that is none', { Condition: { Bool: { 'aws:MultiFactorAuthPresent': 'yes' } } }],
  ['Null of something else', { Condition: { Null: { 'aws:userid': 'yes' } } }],
  ['an ARN that is none', { Condition: { ArnLike: { 'aws:PrincipalArn': 'role/x' } } }],
  ['a list key without set operator', { Condition: { StringEquals: { 'aws:TagKeys': 'a' } } }],
  ['a condition without values', { Condition: { StringEquals: { 'aws:userid': [] } } }],
  ['a policy variable in a condition', { Condition: { StringEquals: { 'aws:userid': '${aws:username}' } } }],
  ['a policy variable in a resource', { Resource: 'arn:aws:s3:::home/${aws:username}' }],
  ['a resource that is no ARN', { Resource: 'reports' }],
  ['an action without service', { Action: 'GetObject' }],
  ['no action', { Action: undefined }],
  ['no resource', { Resource: undefined }],
  ['no effect', { Effect: undefined }],
  ['an action and its opposite', { NotAction: 'iam:*' }],
  ['an unknown element', { Conditions: {} }],
  ['a principal', { Principal: '*' }],
  ['a Sid with a space', { Sid: 'a b' }],
])('a policy that is not understood as a whole is an error: %s', (_, changes) => {
  const text = JSON.stringify({ Statement: { ...statement(), ...changes } })
  expect(() => parsePolicy(text, 'identity')).toThrow(PolicyError)
  expect(() =>
    parsePolicy(JSON.stringify({ Statement: [statement(), { ...statement(), ...changes }] }), 'identity'),
  ).toThrow(PolicyError)
})

test('statements of one policy have different ids, and there is at least one', () => {
  expect(() => policy(statement({ Sid: 'a' }), statement({ Sid: 'a' }))).toThrow('must be unique')
  expect(() => policy()).toThrow('Syntax errors')
})
