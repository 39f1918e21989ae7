import { StartupError, messageOf } from '../errors.ts'
import type { Delegation, User, Workload } from '../identity/workload.ts'
import { preparsePolicySet, statefulIsAuthorized } from './cedar.ts'
import { toCedar } from './entities.ts'

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
  /** The ids of the policies that decided, sorted. None: denied because no policy permits it. */
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
  /** Sorted; those that are built in included. */
  readonly policyIds: readonly string[]
  /** Never throws: what cannot be decided is denied. */
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
  // Cedar keeps what it has parsed by name for the life of the process: equal sets share a name, and others never do.
  const staticPolicies = Object.fromEntries(policies.map(({ id, text }) => [id, text]))
  const answer = preparsePolicySet(policySet, { staticPolicies })
  if (answer.type === 'failure') {
    const flaws = answer.errors.map(({ message }) => ({ path: 'policies', message }))
    throw new StartupError('the policies cannot be prepared', flaws)
  }
  const caps = new Map(policies.map(({ id, maxTtlSeconds }) => [id, maxTtlSeconds]))

  return {
    policySet,
    policyIds: policies.map(({ id }) => id).toSorted(),
    decide(question) {
      const { action } = question
      const { allowed, policies: deciding, errors } = evaluate(question, policySet)
      const maxTtls = allowed ? deciding.flatMap((id) => caps.get(id) ?? []) : []
      const cap = maxTtls.length > 0 ? { maxTtlSeconds: Math.min(...maxTtls) } : {}
      return { allowed, action, policies: deciding, policySet, errors, ...cap }
    },
  }
}

type Evaluation = Pick<Decision, 'allowed' | 'policies' | 'errors'>

/**
 * Never throws: what cannot be decided is denied. Cedar is not asked to check the question against the schema, which
 * takes a third of the time: `toCedar` builds none that does not fit, and a policy that meets one errs, which denies.
 */
function evaluate(question: Question, policySet: string): Evaluation {
  try {
    const answer = statefulIsAuthorized({
      ...toCedar(question),
      action: { type: 'Action', id: question.action },
      preparsedPolicySetId: policySet,
    })
    if (answer.type === 'failure') {
      return { allowed: false, policies: [], errors: answer.errors.map(({ message }) => message) }
    }
    const { decision, diagnostics } = answer.response
    const errors = diagnostics.errors.map(({ policyId, error }) => `${policyId}: ${error.message}`)
    if (decision === 'allow' && errors.length > 0) {
      // The permits did not decide; what could not be evaluated did.
      const failed = diagnostics.errors.map(({ policyId }) => policyId)
      return { allowed: false, policies: failed.toSorted(), errors }
    }
    return { allowed: decision === 'allow', policies: diagnostics.reason.toSorted(), errors }
  } catch (error) {
    return { allowed: false, policies: [], errors: [messageOf(error)] }
  }
}
