import { expect, test } from 'vitest'
import { matchesArn, matchesWildcard } from '../../broker/dev/aws/wildcard.ts'

test('a wildcard matches as a whole, and with many stars in no time', () => {
  expect(matchesWildcard('a*b?d', 'axxbcd')).toBe(true)
  expect(matchesWildcard('a*b*c', 'abxbc')).toBe(true)
  expect(matchesWildcard('**', '')).toBe(true)
  expect(matchesWildcard('a', 'ab')).toBe(false)
  expect(matchesWildcard('?', '')).toBe(false)
  expect(matchesWildcard('a.c', 'abc')).toBe(false)
  const started = performance.now()
  expect(matchesWildcard('*a'.repeat(500), `${'a'.repeat(5000)}b`)).toBe(false)
  expect(performance.now() - started).toBeLessThan(1000)
})

test('a wildcard in an ARN stays in its part, but for the last', () => {
  expect(matchesArn('arn:aws:s3:::*', 'arn:aws:s3:::b/k:1')).toBe(true)
  expect(matchesArn('arn:*:role/x', 'arn:aws:iam::1:role/x')).toBe(false)
  expect(matchesArn('arn:aws:iam::*:role/x', 'arn:aws:iam::1:role/x')).toBe(true)
})
