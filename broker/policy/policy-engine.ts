import { randomUUID } from 'node:crypto'
import { StartupError } from '../errors.ts'
import type { Delegation, User, Workload } from '../identity/workload.ts'
import { preparsePolicySet, preparseSchema, statefulIsAuthorized } from './cedar.ts'
import { contextOf, entitiesOf, resourceOf } from './entities.ts'
import { SCHEMA } from './schema.ts'

export type Action =
  | 'openTask'
  | 'requestGrant'
  | 'renewGrant'
  | 'endTask'
  | 'readTask'
  | 'revoke'
  | 'readAudit'
  | 'approve'

export interface TaskFacts {
  readonly id: string
  readonly owner: { readonly id: string; readonly issuer: string; readonly subject: string }
  readonly purpose: string
  readonly labels: Readonly<Record<string, string>>
  readonly onBehalfOf?: User
}

export interface Question {
  readonly action: Action
  readonly workload: Workload
  readonly on:
    | { readonly kind: 'broker' }
    | { readonly kind: 'access'; readonly resource: string; readonly access: string }
    | { readonly kind: 'task'; readonly task: TaskFacts }
  readonly context: {
    readonly purpose?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly ttlSeconds?: number
    readonly delegation?: Delegation
    readonly time: Date
  }
}

export interface Decision {
  readonly allowed: boolean
  readonly action: Action
  /** The ids of the policies that decided, sorted; none for a default deny. */
  readonly policies: readonly string[]
  /** Which set of policies decided. */
  readonly policySet: string
  /** The smallest cap among the policies that permitted. */
  readonly maxTtlSeconds?: number
  /** Evaluation errors. With any, nothing is allowed: Cedar skips a policy that errs, also one that forbids. */
  readonly errors: readonly string[]
}

export interface PolicyEngine {
  /** SHA-256 of the canonical set, in hex. */
  readonly policySet: string
  readonly policyIds: readonly string[]
  decide(question: Question): Decision
}

/** A policy that has passed all checks. */
export interface Policy {
  readonly id: string
  readonly text: string
  readonly maxTtlSeconds: number | undefined
}

/** @throws {StartupError} if Cedar does not take the set after all */
export function createPolicyEngine(policies: readonly Policy[], policySet: string): PolicyEngine {
  // Cedar keeps parsed sets by name for the life of the process; two engines must not share one.
  const name = `${policySet}-${randomUUID()}`
  const staticPolicies = Object.fromEntries(policies.map(({ id, text }) => [id, text]))
  for (const answer of [preparseSchema(name, SCHEMA), preparsePolicySet(name, { staticPolicies })]) {
    if (answer.type === 'failure') {
      throw new StartupError(
        'the policies cannot be prepared',
        answer.errors.map(({ message }) => ({ path: 'policies', message })),
      )
    }
  }
  const caps = new Map(policies.map(({ id, maxTtlSeconds }) => [id, maxTtlSeconds]))
  return {
    policySet,
    policyIds: policies.map(({ id }) => id),
    decide(question) {
      const { action } = question
      const answer = statefulIsAuthorized({
        principal: { type: 'Workload', id: question.workload.id },
        action: { type: 'Action', id: action },
        resource: resourceOf(question),
        context: contextOf(question),
        entities: entitiesOf(question),
        preparsedSchemaName: name,
        preparsedPolicySetId: name,
        validateRequest: true,
      })
      if (answer.type === 'failure') {
        return {
          allowed: false,
          action,
          policies: [],
          policySet,
          errors: answer.errors.map(({ message }) => message),
        }
      }
      const { decision, diagnostics } = answer.response
      const errors = diagnostics.errors.map(({ policyId, error }) => `${policyId}: ${error.message}`)
      const deciding = diagnostics.reason.toSorted()
      const allowed = decision === 'allow' && errors.length === 0
      const maxTtls = allowed ? deciding.flatMap((id) => caps.get(id) ?? []) : []
      return {
        allowed,
        action,
        policies: deciding,
        policySet,
        errors,
        ...(maxTtls.length > 0 ? { maxTtlSeconds: Math.min(...maxTtls) } : {}),
      }
    },
  }
}
