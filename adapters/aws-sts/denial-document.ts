import { z } from 'zod'
import { policyTime } from './aws-clock.ts'

/** How many characters of a session's name a document holds: 62 random bits of a UUID of version 7. */
const TAIL_LENGTH = 16
const SESSIONS = { operator: 'StringLike', key: 'aws:userid' } as const

/**
 * The part of a session's name by which it is denied. `aws:userid` is `<role id>:<session name>`, and a policy of a
 * role is about that role alone: a pattern for the end of the name needs no role id, which is not known if the answer
 * of AssumeRole was lost. Half of the name is as good as all of it, and lets a role have twice as many denials.
 */
export function tailOf(sessionName: string): string {
  return sessionName.slice(-TAIL_LENGTH)
}

/** Denies everything to the sessions whose names end so. The same tails give the same text. */
export function sessionsDocument(tails: Iterable<string>): string {
  const patterns = [...tails].toSorted().map((tail) => `*${tail}`)
  return documentWith({ [SESSIONS.operator]: { [SESSIONS.key]: patterns } })
}

/** Denies everything to the sessions that were opened before (seconds since 1970). */
export function olderDocument(before: number): string {
  return documentWith({ DateLessThan: { 'aws:TokenIssueTime': policyTime(before) } })
}

/** Denies nothing, and is as long as {@link olderDocument}: it keeps room for one. */
export const RESERVE_DOCUMENT = olderDocument(0)

function documentWith(condition: object): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Deny', Action: '*', Resource: '*', Condition: condition }],
  })
}

const schema = z.strictObject({
  Version: z.literal('2012-10-17'),
  Statement: z.tuple([
    z.strictObject({
      Effect: z.literal('Deny'),
      Action: z.literal('*'),
      Resource: z.literal('*'),
      Condition: z.strictObject({
        [SESSIONS.operator]: z.strictObject({
          [SESSIONS.key]: z.array(z.string().regex(new RegExp(`^\\*[0-9a-f]{${TAIL_LENGTH}}$`))).min(1),
        }),
      }),
    }),
  ]),
})

/** Whom a document of {@link sessionsDocument} denies; undefined if it is no such document. */
export function tailsIn(text: string): ReadonlySet<string> | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(text))
    if (!parsed.success) return undefined
    const [{ Condition: condition }] = parsed.data.Statement
    return new Set(condition[SESSIONS.operator][SESSIONS.key].map((pattern) => pattern.slice(1)))
  } catch {
    return undefined
  }
}
