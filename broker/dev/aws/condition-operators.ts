import { isArn, matchesArn, matchesWildcard } from './wildcard.ts'

/** A policy that the emulator does not understand as a whole. Nothing in a policy is ever skipped. */
export class PolicyError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'PolicyError'
  }
}

export interface Operator {
  /** Holds if no value of the policy matches, and if the key is missing. */
  readonly negated: boolean
  readonly type: 'string' | 'arn' | 'date' | 'boolean'
  /** Reads a value of the policy. @throws {PolicyError} if it has not the form of the type */
  readonly compile: (expected: string) => (actual: string) => boolean
}

/** A time, as `2026-01-31T12:00:00Z`, a date alone, or seconds since 1970, in milliseconds; undefined for others. */
export function timeOf(text: string): number | undefined {
  if (/^\d{1,11}$/.test(text)) return Number(text) * 1000
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?Z)?$/.test(text)) return undefined
  const time = Date.parse(text)
  // Date.parse takes the 30th of February for the 2nd of March.
  const exists = !Number.isNaN(time) && new Date(time).toISOString().startsWith(text.slice(0, 10))
  return exists ? time : undefined
}

function string(negated: boolean, matches: (expected: string, actual: string) => boolean): Operator {
  return { negated, type: 'string', compile: (expected) => (actual) => matches(expected, actual) }
}

function arn(negated: boolean): Operator {
  return {
    negated,
    type: 'arn',
    compile(expected) {
      if (expected !== '*' && !isArn(expected)) throw new PolicyError(`${quoted(expected)} is not an ARN`)
      return (actual) => expected === '*' || matchesArn(expected, actual)
    },
  }
}

function date(negated: boolean, holds: (actual: number, expected: number) => boolean): Operator {
  return {
    negated,
    type: 'date',
    compile(expected) {
      const time = timeOf(expected)
      if (time === undefined) throw new PolicyError(`${quoted(expected)} is not a date`)
      return (text) => {
        const actual = timeOf(text)
        return actual !== undefined && holds(actual, time)
      }
    },
  }
}

const boolean: Operator = {
  negated: false,
  type: 'boolean',
  compile(expected) {
    if (!/^(true|false)$/i.test(expected)) throw new PolicyError(`${quoted(expected)} is not a boolean`)
    return (actual) => actual.toLowerCase() === expected.toLowerCase()
  },
}

const isSame = (expected: string, actual: string): boolean => expected === actual
const isSameIgnoringCase = (expected: string, actual: string): boolean =>
  expected.toLowerCase() === actual.toLowerCase()

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map([
  ['StringEquals', string(false, isSame)],
  ['StringNotEquals', string(true, isSame)],
  ['StringEqualsIgnoreCase', string(false, isSameIgnoringCase)],
  ['StringNotEqualsIgnoreCase', string(true, isSameIgnoringCase)],
  ['StringLike', string(false, matchesWildcard)],
  ['StringNotLike', string(true, matchesWildcard)],
  // AWS gives both names of each pair the same meaning.
  ['ArnEquals', arn(false)],
  ['ArnLike', arn(false)],
  ['ArnNotEquals', arn(true)],
  ['ArnNotLike', arn(true)],
  ['DateEquals', date(false, (actual, expected) => actual === expected)],
  ['DateNotEquals', date(true, (actual, expected) => actual === expected)],
  ['DateLessThan', date(false, (actual, expected) => actual < expected)],
  ['DateLessThanEquals', date(false, (actual, expected) => actual <= expected)],
  ['DateGreaterThan', date(false, (actual, expected) => actual > expected)],
  ['DateGreaterThanEquals', date(false, (actual, expected) => actual >= expected)],
  ['Bool', boolean],
])

export function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}
