import type { CedarValueJson, EntityJson } from './cedar.ts'
import type { Action, Question, TaskFacts } from './policy-engine.ts'

interface Uid {
  type: string
  id: string
}

type Attributes = Record<string, CedarValueJson>

interface Identity {
  readonly id: string
  readonly issuer: string
  readonly subject: string
}

/** A question in Cedar's terms: what it is about, and all that a policy can reach from there. */
export interface CedarQuestion {
  readonly principal: Uid
  readonly resource: Uid
  readonly context: Attributes
  readonly entities: EntityJson[]
}

const BROKER: Uid = { type: 'Broker', id: 'taskgrant' }

/** As in the schema: a policy for every resource would otherwise allow what makes no sense. */
const ACTIONS_ON: Readonly<Record<Question['on']['kind'], ReadonlySet<Action>>> = {
  broker: new Set<Action>(['openTask', 'readAudit', 'endTask', 'readTask', 'revoke']),
  access: new Set<Action>(['requestGrant', 'renewGrant', 'approve']),
  task: new Set<Action>(['endTask', 'readTask', 'revoke']),
}

/** @throws {Error} for a question that could be taken for another one */
export function toCedar({ action, workload, on, context }: Question): CedarQuestion {
  if (!ACTIONS_ON[on.kind].has(action)) throw new Error(`${action} does not apply to a ${on.kind}`)
  const principal = { type: 'Workload', id: workload.id }
  const groups = workload.groups.map((id) => ({ type: 'Group', id }))
  const entities = new Entities()
  entities.add(BROKER, {}, [])
  entities.add(principal, attributesOf(workload), groups)
  const user = context.delegation?.user
  const onBehalfOf = user === undefined ? undefined : entities.addIdentity('User', user)
  const resource = addResource(entities, { workload, on, context })
  return { principal, resource, context: contextOf(context, onBehalfOf), entities: entities.all() }
}

function addResource(entities: Entities, { workload, on, context }: Omit<Question, 'action'>): Uid {
  if (on.kind === 'access') return addAccess(entities, on.resource, on.access)
  if (on.kind === 'task') return addTask(entities, on.task, workload, context.delegation?.user)
  return BROKER
}

function addAccess(entities: Entities, name: string, level: string): Uid {
  // `a/b` with `c` would be the entity of `a` with `b/c`. No configured resource has such a name.
  if (name.includes('/')) throw new Error('the name of a resource holds a slash')
  const resource = { type: 'Resource', id: name }
  const access = { type: 'Access', id: `${name}/${level}` }
  entities.add(resource, { name }, [BROKER])
  entities.add(access, { resource: name, name: level }, [resource])
  return access
}

function addTask(entities: Entities, task: TaskFacts, caller: Identity, user: Identity | undefined): Uid {
  const uid = { type: 'Task', id: task.id }
  const owner = reference(entities.addIdentity('Workload', task.owner, caller))
  const onBehalfOf =
    task.onBehalfOf === undefined
      ? {}
      : { onBehalfOf: reference(entities.addIdentity('User', task.onBehalfOf, user)) }
  entities.add(uid, { owner, purpose: task.purpose, ...onBehalfOf }, [BROKER], { ...task.labels })
  return uid
}

function contextOf(context: Question['context'], onBehalfOf: Uid | undefined): Attributes {
  const { purpose, labels = {}, ttlSeconds, delegation, time } = context
  return {
    labels: Object.entries(labels).map(([key, value]) => {
      // `a=b` with `c` would read as `a` with `b=c`.
      if (key.includes('=')) throw new Error('the key of a label holds an equals sign')
      return `${key}=${value}`
    }),
    actors: (delegation?.actors ?? []).map(({ subject }) => subject),
    time: { __extn: { fn: 'datetime', arg: time.toISOString() } },
    ...(purpose === undefined ? {} : { purpose }),
    ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
    ...(onBehalfOf === undefined ? {} : { onBehalfOf: reference(onBehalfOf) }),
  }
}

class Entities {
  readonly #byUid = new Map<string, EntityJson>()

  /** The first of a uid stays. */
  add(uid: Uid, attrs: Attributes, parents: Uid[], tags?: Record<string, string>): void {
    const key = JSON.stringify([uid.type, uid.id])
    if (this.#byUid.has(key)) return
    this.#byUid.set(key, { uid, attrs, parents, ...(tags === undefined ? {} : { tags }) })
  }

  /** `present` is who has the plain id in this question; identifiers hold no line break, so the other's is nobody's. */
  addIdentity(type: 'Workload' | 'User', identity: Identity, present?: Identity): Uid {
    const isOther = present?.id === identity.id && present.issuer !== identity.issuer
    const uid = { type, id: isOther ? `${identity.id}\n${identity.issuer}` : identity.id }
    this.add(uid, attributesOf(identity), [])
    return uid
  }

  all(): EntityJson[] {
    return [...this.#byUid.values()]
  }
}

function attributesOf({ id, issuer, subject }: Identity): Attributes {
  return { id, issuer, subject }
}

function reference(uid: Uid): CedarValueJson {
  return { __entity: uid }
}
