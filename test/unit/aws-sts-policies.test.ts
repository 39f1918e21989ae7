import { describe, expect, it } from 'vitest'
import { sessionTags, sourceIdentity } from '../../adapters/aws-sts/attribution.ts'
import {
  olderDocument,
  RESERVE_DOCUMENT,
  sessionsDocument,
  tailOf,
  tailsIn,
} from '../../adapters/aws-sts/denial-document.ts'
import { sessionPolicy } from '../../adapters/aws-sts/session-policy.ts'
import type { GrantRequest } from '../../broker/adapter.ts'
import { contextOf } from '../../broker/dev/aws/policy-conditions.ts'
import { parsePolicy } from '../../broker/dev/aws/policy-document.ts'
import { evaluate, type Verdict } from '../../broker/dev/aws/policy-evaluation.ts'

const END = Date.parse('2026-06-01T12:00:00Z')
const NAME = 'tg-0197f3a0b1c27def8123456789abcdef'
const NEIGHBOUR = 'tg-0197f3a0b1c27def8123456789abcdee'

function verdict(text: string, facts: Record<string, string>, action = 's3:GetObject'): Verdict {
  const resource = 'arn:aws:s3:::reports/june.csv'
  return evaluate([parsePolicy(text, 'identity')], { action, resource, context: contextOf(facts) })
}
const at = (ms: number): Record<string, string> => ({ 'aws:CurrentTime': new Date(ms).toISOString() })
const by = (name: string): Record<string, string> => ({ 'aws:userid': `AROAEXAMPLEROLEID1234:${name}` })

describe('the policy of a session', () => {
  const plain = sessionPolicy({}, END / 1000)

  it('leaves everything to the role until the end, and nothing from the end on', () => {
    expect(verdict(plain, at(END - 1))).toBe('allowed')
    expect(verdict(plain, at(END))).toBe('explicitlyDenied')
    expect(verdict(plain, at(END + 86_400_000))).toBe('explicitlyDenied')
    expect(verdict(plain, at(END), 'iam:PassRole')).toBe('explicitlyDenied')
  })

  it('is what the operator wrote, until the end', () => {
    const policy = [
      { Effect: 'Allow', Action: 's3:*', Resource: '*' },
      { Sid: 'NoDelete', Effect: 'Deny', Action: 's3:DeleteObject', Resource: '*' },
    ]
    const text = sessionPolicy({ policy }, END / 1000)
    expect(verdict(text, at(END - 1))).toBe('allowed')
    expect(verdict(text, at(END - 1), 's3:DeleteObject')).toBe('explicitlyDenied')
    expect(verdict(text, at(END - 1), 'sqs:SendMessage')).toBe('denied')
    expect(verdict(text, at(END))).toBe('explicitlyDenied')
  })

  it('allows nothing by itself beside managed policies, and ends them', () => {
    const text = sessionPolicy({ policyArns: ['arn:aws:iam::aws:policy/ReadOnlyAccess'] }, END / 1000)
    expect(verdict(text, at(END - 1))).toBe('denied')
    expect(verdict(text, at(END))).toBe('explicitlyDenied')
  })

  it('is written in the characters that AWS takes', () => {
    const policy = [{ Sid: 'S', Effect: 'Allow', Action: '*', Resource: 'arn:aws:s3:::ünïcödé-🦀/\u007F*' }]
    const text = sessionPolicy({ policy }, END / 1000)
    expect(text).toMatch(/^[\u0020-\u007E]+$/)
    expect((JSON.parse(text) as { Statement: unknown[] }).Statement[1]).toEqual(policy[0])
  })
})

describe('a denial of sessions', () => {
  const text = sessionsDocument([tailOf(NAME), tailOf('tg-ffffffffffffffffffffffffffffffff')])

  it('denies them everything, and others nothing', () => {
    expect(verdict(text, by(NAME))).toBe('explicitlyDenied')
    expect(verdict(text, by(NAME), 'sts:AssumeRole')).toBe('explicitlyDenied')
    expect(verdict(text, by(NEIGHBOUR))).toBe('denied')
    expect(verdict(text, by(`${NAME}x`))).toBe('denied')
    expect(verdict(text, {})).toBe('denied')
  })

  it('reads as it was written, in any order', () => {
    expect(tailsIn(text)).toEqual(new Set(['8123456789abcdef', 'ffffffffffffffff']))
    expect(sessionsDocument(['b', 'a'])).toBe(sessionsDocument(['a', 'b']))
  })

  it.each([
    '',
    'null',
    '[]',
    '{"Version":"2012-10-17","Statement":[]}',
    sessionsDocument([]),
    sessionsDocument(['*']),
    sessionsDocument(['8123456789abcde']),
    olderDocument(1),
    text.replace('Deny', 'Allow'),
    text.replace('"Action":"*"', '"Action":"s3:*"'),
    text.replace('"Condition":{', '"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},'),
    text.replace(']}}}]', ']}}},{"Effect":"Allow","Action":"*","Resource":"*"}]'),
  ])('is told from what is none: %s', (other) => {
    expect(tailsIn(other)).toBeUndefined()
  })
})

describe('a denial of all older sessions', () => {
  const issued = (ms: number): Record<string, string> => ({
    'aws:TokenIssueTime': new Date(ms).toISOString(),
  })

  it('denies those that were opened before its time, and none later', () => {
    const text = olderDocument(END / 1000)
    expect(verdict(text, issued(END - 1000))).toBe('explicitlyDenied')
    expect(verdict(text, issued(END))).toBe('denied')
  })

  it('fits where the reserve was, which denies nobody', () => {
    expect(RESERVE_DOCUMENT).toHaveLength(olderDocument(END / 1000).length)
    expect(verdict(RESERVE_DOCUMENT, issued(0))).toBe('denied')
  })
})

describe('what AWS gets to know of a grant', () => {
  const grant = (text: string): GrantRequest => ({
    grantId: '0197f3a0-b1c2-7def-8123-456789abcdef',
    taskId: text,
    workloadId: text,
    storeId: 'abcd1234',
    access: 'read',
    params: {},
    ttlSeconds: 60,
    expiresAt: new Date(),
    issueBefore: new Date(),
  })

  it.each([
    '',
    'x',
    'x'.repeat(5000),
    '🦀'.repeat(300),
    '𝒳'.repeat(300),
    '\uD800 lone',
    `o'brien"; drop table x; --`,
    'a\u0000b\nc',
    'Straße/ünï cödé@x.y:z=1+2-3',
  ])('is in the characters and the length that it takes: %j', (text) => {
    expect(sourceIdentity(grant(text))).toMatch(/^[\w+=,.@-]{2,64}$/)
    for (const { Key, Value } of sessionTags(grant(text))) {
      expect(Key).toMatch(/^taskgrant:[a-z]+$/)
      expect(Value).toMatch(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u)
      expect(Value.length).toBeLessThanOrEqual(256)
      expect(Value.isWellFormed?.() ?? true).toBe(true)
    }
  })

  it('is unchanged where it can be', () => {
    const text = 'Straße/ünï cödé@x.y:z=1+2-3'
    expect(sessionTags(grant(text)).map(({ Value }) => Value)).toContain(text)
    const id = '0197f3a0-b1c2-7def-8123-456789abcdef'
    expect(sourceIdentity(grant(id))).toBe(id)
  })
})
