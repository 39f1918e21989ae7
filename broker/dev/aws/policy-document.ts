import { z } from 'zod'
import { PolicyError, quoted } from './condition-operators.ts'
import { compileCondition, type Condition } from './policy-conditions.ts'
import { isArn } from './wildcard.ts'

type OneOrMany<T> = T | readonly T[]

/** A policy as AWS's documentation writes it. */
export interface PolicyDocument {
  readonly Version?: string
  readonly Id?: string
  readonly Statement: OneOrMany<PolicyStatement>
}

export interface PolicyStatement {
  readonly Sid?: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Principal?: '*' | Readonly<Record<string, OneOrMany<string>>>
  readonly Action?: OneOrMany<string>
  readonly NotAction?: OneOrMany<string>
  readonly Resource?: OneOrMany<string>
  readonly NotResource?: OneOrMany<string>
  readonly Condition?: Readonly<
    Record<string, Readonly<Record<string, OneOrMany<string | boolean | number>>>>
  >
}

/** A policy that was read and understood as a whole. */
export interface Policy {
  readonly text: string
  readonly statements: readonly Statement[]
}

export interface Statement {
  readonly effect: 'Allow' | 'Deny'
  /** AWS principals, `*` included; empty in a policy that belongs to a user, role or session. */
  readonly principals: readonly string[]
  readonly actions: Patterns
  /** Undefined in a trust policy: it is about the role that it belongs to. */
  readonly resources: Patterns | undefined
  readonly conditions: readonly Condition[]
}

export interface Patterns {
  readonly patterns: readonly string[]
  /** `NotAction`, `NotResource`: everything else is meant. */
  readonly negated: boolean
}

const texts = z.union([z.string().transform((text) => [text]), z.array(z.string()).min(1)])
const value = z.union([z.string(), z.boolean(), z.number()]).transform(String)
const values = z.union([value.transform((one) => [one]), z.array(value).min(1)])
// An operator without keys would never be looked at.
const conditionKeys = z
  .record(z.string(), values)
  .refine((keys) => Object.keys(keys).length > 0, 'a condition operator has no key')
const statementSchema = z.strictObject({
  Sid: z
    .string()
    .regex(/^[A-Za-z0-9]*$/)
    .optional(),
  Effect: z.enum(['Allow', 'Deny']),
  Principal: z
    .union([z.literal('*').transform(() => ({ AWS: ['*'] })), z.record(z.string(), texts)])
    .optional(),
  Action: texts.optional(),
  NotAction: texts.optional(),
  Resource: texts.optional(),
  NotResource: texts.optional(),
  Condition: z.record(z.string(), conditionKeys).optional(),
})
const documentSchema = z.strictObject({
  Version: z.enum(['2012-10-17', '2008-10-17']).optional(),
  Id: z.string().optional(),
  Statement: z.union([statementSchema.transform((one) => [one]), z.array(statementSchema).min(1)]),
})
type RawStatement = z.output<typeof statementSchema>

/**
 * Reads a policy: of a role, user or session (`identity`), or of who may assume a role (`trust`). Whatever is not
 * understood, such as policy variables, is an error. @throws {PolicyError}
 */
export function parsePolicy(text: string, kind: 'identity' | 'trust'): Policy {
  const parsed = documentSchema.safeParse(jsonOf(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const where = issue?.path.map(String).join('.') ?? ''
    throw new PolicyError(`Syntax errors in policy. ${where}: ${issue?.message ?? ''}`.slice(0, 500))
  }
  const { Statement: statements } = parsed.data
  const ids = statements.flatMap(({ Sid }) => (Sid === undefined || Sid === '' ? [] : [Sid]))
  if (new Set(ids).size < ids.length) {
    throw new PolicyError('Statement IDs (SID) in a single policy must be unique.')
  }
  return { text, statements: statements.map((statement) => compileStatement(statement, kind)) }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text, (key, parsed: unknown) => {
      // zod would drop such a member without a word.
      if (key === '__proto__') throw new PolicyError('a member is called __proto__')
      return parsed
    })
  } catch {
    throw new PolicyError('This policy contains invalid Json')
  }
}

function compileStatement(raw: RawStatement, kind: 'identity' | 'trust'): Statement {
  return {
    effect: raw.Effect,
    principals: principalsOf(raw, kind),
    actions: actionsOf(raw),
    resources: resourcesOf(raw, kind),
    conditions: Object.entries(raw.Condition ?? {}).flatMap(([operator, keys]) =>
      Object.entries(keys).map(([key, expected]) => compileCondition(operator, key, expected.map(plain))),
    ),
  }
}

function principalsOf({ Principal: principal }: RawStatement, kind: 'identity' | 'trust'): readonly string[] {
  if (kind === 'identity') {
    if (principal !== undefined) throw new PolicyError('Policy document should not specify a principal.')
    return []
  }
  if (principal === undefined) throw new PolicyError('Missing required field Principal')
  const types = Object.keys(principal)
  const unknown = types.find((type) => !['AWS', 'Service', 'Federated'].includes(type))
  if (unknown !== undefined || types.length === 0) throw new PolicyError('Invalid principal in policy')
  return (principal['AWS'] ?? []).map((name) => {
    if (name === '*' || /^\d{12}$/.test(name) || (isArn(name) && !/[*?]/.test(name))) return name
    throw new PolicyError(`Invalid principal in policy: "AWS":${quoted(name)}`)
  })
}

function actionsOf({ Action: only, NotAction: allBut }: RawStatement): Patterns {
  const found = patternsOf(only, allBut, 'Action')
  const odd = found.patterns.find((name) => name !== '*' && !/^[a-z0-9-]+:[a-z0-9*?]+$/i.test(name))
  if (odd !== undefined) throw new PolicyError(`Actions must be prefaced by a vendor: ${quoted(odd)}`)
  return found
}

function resourcesOf(raw: RawStatement, kind: 'identity' | 'trust'): Patterns | undefined {
  const { Resource: only, NotResource: allBut } = raw
  if (kind === 'trust') {
    if (only !== undefined || allBut !== undefined) throw new PolicyError('Has prohibited field Resource')
    return undefined
  }
  const found = patternsOf(only, allBut, 'Resource')
  const odd = found.patterns.find((name) => name !== '*' && !isArn(name))
  if (odd !== undefined) throw new PolicyError(`Resource ${quoted(odd)} must be in ARN format or "*".`)
  return found
}

function patternsOf(
  only: readonly string[] | undefined,
  allBut: readonly string[] | undefined,
  element: string,
): Patterns {
  if (only !== undefined && allBut !== undefined) {
    throw new PolicyError(`a statement has ${element} or Not${element}, not both`)
  }
  const patterns = only ?? allBut
  if (patterns === undefined) throw new PolicyError(`Missing required field ${element}`)
  return { patterns: patterns.map(plain), negated: only === undefined }
}

function plain(text: string): string {
  if (text.includes('${')) throw new PolicyError('the emulator knows no policy variables')
  return text
}
