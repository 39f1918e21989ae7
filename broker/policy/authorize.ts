import { recordEvents } from '../audit/audit-store.ts'
import { decided, eventOf } from '../audit/event-of.ts'
import type { AuditEvent } from '../audit/event.ts'
import { originOf, type Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import type { Task } from '../tasks/task.ts'
import type { Action, Decision, Question } from './policy-engine.ts'

type On = Question['on']
export type QuestionContext = Omit<Question['context'], 'time'>

export function onTask(task: Task): On {
  const { id, owner, purpose, labels, onBehalfOf } = task
  return {
    kind: 'task',
    task: { id, owner, purpose, labels, ...(onBehalfOf === null ? {} : { onBehalfOf }) },
  }
}

/** Asks the policies. Nothing is recorded: the caller puts the decision into the event of what it decides. */
export function decide(
  core: Core,
  caller: Caller,
  action: Action,
  on: On,
  context: QuestionContext = {},
): Decision {
  return core.policy.decide({
    action,
    workload: caller.workload,
    on,
    context: { ...context, time: new Date() },
  })
}

/** Records a refusal. @throws {BrokerError} `store_unavailable` */
export async function recordRefusal(
  core: Core,
  caller: Caller,
  decision: Decision,
  about: Partial<AuditEvent>,
): Promise<void> {
  const type = decision.action === 'requestGrant' ? 'grant.denied' : 'request.denied'
  const { id, issuer, subject } = caller.workload
  const event = eventOf(type, originOf(caller), {
    ...decided(decision),
    workload: { id, issuer, subject },
    ...about,
  })
  await recordEvents(core.db.auto, [event])
}

/** Records a refusal, and refuses. @throws {BrokerError} always: `denied`, or `store_unavailable` */
export async function refuse(
  core: Core,
  caller: Caller,
  decision: Decision,
  about: Partial<AuditEvent>,
): Promise<never> {
  await recordRefusal(core, caller, decision, about)
  throw new BrokerError('denied', `policy does not allow ${caller.workload.id} to ${decision.action}`, {
    details: { policies: decision.policies },
  })
}

/** Decides, and refuses with an event unless allowed. */
export async function authorize(
  core: Core,
  caller: Caller,
  action: Action,
  on: On,
  about: Partial<AuditEvent> = {},
): Promise<Decision> {
  const decision = decide(core, caller, action, on)
  if (!decision.allowed) await refuse(core, caller, decision, about)
  return decision
}
