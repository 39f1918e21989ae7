import { expect, test } from 'vitest'
import { PolicyError } from '../../broker/dev/aws/condition-operators.ts'
import { contextOf } from '../../broker/dev/aws/policy-conditions.ts'
import { parsePolicy, type Policy } from '../../broker/dev/aws/policy-document.ts'
import { decideWithTrust, type Verdict } from '../../broker/dev/aws/policy-evaluation.ts'

const everything = (effect: 'Allow' | 'Deny'): Policy =>
  parsePolicy(JSON.stringify({ Statement: { Effect: effect, Action: '*', Resource: '*' } }), 'identity')

const ACCOUNT = '123456789012'
const user = { accountId: ACCOUNT, arn: `arn:aws:iam::${ACCOUNT}:user/u`, roleArn: undefined }
const session = {
  accountId: ACCOUNT,
  arn: `arn:aws:sts::${ACCOUNT}:assumed-role/r/s`,
  roleArn: `arn:aws:iam::${ACCOUNT}:role/r`,
}
const root = `arn:aws:iam::${ACCOUNT}:root`

test.each<[string, typeof user | typeof session, own: boolean, session: boolean | undefined, Verdict]>([
  ['*', user, false, undefined, 'allowed'],
  [user.arn, user, false, undefined, 'allowed'],
  [root, user, false, undefined, 'denied'],
  [root, user, true, undefined, 'allowed'],
  [ACCOUNT, user, true, undefined, 'allowed'],
  ['arn:aws:iam::210987654321:root', user, true, undefined, 'denied'],
  [session.arn, user, true, undefined, 'denied'],
  [session.arn, session, false, false, 'allowed'],
  [session.roleArn, session, false, undefined, 'allowed'],
  [session.roleArn, session, false, false, 'denied'],
  [session.roleArn, session, false, true, 'allowed'],
  [root, session, true, false, 'denied'],
  [root, session, true, true, 'allowed'],
])(
  'a role that trusts %s: %o, allowed by own policies: %s, by session policies: %s',
  (principal, who, own, narrow, expected) => {
    const text = { Statement: { Effect: 'Allow', Principal: { AWS: principal }, Action: 'sts:AssumeRole' } }
    const trust = parsePolicy(JSON.stringify(text), 'trust')
    const policies = (allowed: boolean): Policy[] => (allowed ? [everything('Allow')] : [])
    const bound = { identity: policies(own), session: narrow === undefined ? undefined : policies(narrow) }
    const asked = { action: 'sts:AssumeRole', resource: session.roleArn, context: contextOf({}) }
    expect(decideWithTrust(trust, who, bound, asked)).toBe(expected)
  },
)

test('a denial in a trust policy, or of one’s own, keeps everybody out whom it names', () => {
  const trust = (...effects: string[]): Policy =>
    parsePolicy(
      JSON.stringify({
        Statement: effects.map((Effect) => ({ Effect, Principal: { AWS: root }, Action: 'sts:*' })),
      }),
      'trust',
    )
  const asked = { action: 'sts:AssumeRole', resource: session.roleArn, context: contextOf({}) }
  const own = (effect: 'Allow' | 'Deny') => ({
    identity: [everything(effect)],
    session: undefined,
  })
  expect(decideWithTrust(trust('Allow'), user, own('Allow'), asked)).toBe('allowed')
  expect(decideWithTrust(trust('Allow', 'Deny'), user, own('Allow'), asked)).toBe('explicitlyDenied')
  expect(decideWithTrust(trust('Allow'), user, own('Deny'), asked)).toBe('explicitlyDenied')
})

test.each<[string, object]>([
  ['no principal', { Action: 'sts:AssumeRole' }],
  ['a resource', { Action: 'sts:AssumeRole', Principal: '*', Resource: '*' }],
  ['a pattern of principals', { Action: 'sts:AssumeRole', Principal: { AWS: 'arn:aws:iam::*:root' } }],
  ['an unknown kind of principal', { Action: 'sts:AssumeRole', Principal: { Aws: '*' } }],
  ['NotPrincipal', { Action: 'sts:AssumeRole', NotPrincipal: { AWS: '*' } }],
])('a trust policy that is not understood is an error: %s', (_, changes) => {
  const text = JSON.stringify({ Statement: { Effect: 'Allow', ...changes } })
  expect(() => parsePolicy(text, 'trust')).toThrow(PolicyError)
})

test('a role that trusts a service trusts no user', () => {
  const text = { Statement: { Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: '*' } }
  const trust = parsePolicy(JSON.stringify(text), 'trust')
  const asked = { action: 'sts:AssumeRole', resource: session.roleArn, context: contextOf({}) }
  const bound = { identity: [everything('Allow')], session: undefined }
  expect(decideWithTrust(trust, user, bound, asked)).toBe('denied')
})
