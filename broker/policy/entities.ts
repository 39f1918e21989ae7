import type { User } from '../identity/workload.ts'
import type { CedarValueJson, EntityJson } from './cedar.ts'
import type { Question } from './policy-engine.ts'

interface Uid {
  type: string
  id: string
}

const BROKER: Uid = { type: 'Broker', id: 'taskgrant' }

function reference(uid: Uid): CedarValueJson {
  return { __entity: uid }
}

function userUid(user: User): Uid {
  return { type: 'User', id: user.id }
}

function accessUid(resource: string, access: string): Uid {
  return { type: 'Access', id: `${resource}/${access}` }
}

export function resourceOf({ on }: Question): Uid {
  if (on.kind === 'broker') return BROKER
  if (on.kind === 'access') return accessUid(on.resource, on.access)
  return { type: 'Task', id: on.task.id }
}

export function contextOf({ context }: Question): Record<string, CedarValueJson> {
  const { purpose, labels = {}, ttlSeconds, delegation, time } = context
  return {
    labels: Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    actors: (delegation?.actors ?? []).map(({ subject }) => subject),
    time: { __extn: { fn: 'datetime', arg: time.toISOString() } },
    ...(purpose === undefined ? {} : { purpose }),
    ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
    ...(delegation === undefined ? {} : { onBehalfOf: reference(userUid(delegation.user)) }),
  }
}

/** Everything that a policy can reach from this question. */
export function entitiesOf({ workload, on, context }: Question): EntityJson[] {
  const entities = new Map<string, EntityJson>()
  const add = (
    uid: Uid,
    attrs: Record<string, CedarValueJson>,
    parents: Uid[],
    tags?: Record<string, string>,
  ): void => {
    entities.set(JSON.stringify(uid), { uid, attrs, parents, ...(tags === undefined ? {} : { tags }) })
  }
  const addUser = (user: User): void =>
    add(userUid(user), { id: user.id, issuer: user.issuer, subject: user.subject }, [])

  add(BROKER, {}, [])
  if (context.delegation !== undefined) addUser(context.delegation.user)
  if (on.kind === 'access') {
    const resource = { type: 'Resource', id: on.resource }
    add(resource, { name: on.resource }, [BROKER])
    add(accessUid(on.resource, on.access), { resource: on.resource, name: on.access }, [resource])
  }
  if (on.kind === 'task') {
    const { id, owner, purpose, labels, onBehalfOf } = on.task
    const ownerUid = { type: 'Workload', id: owner.id }
    add(ownerUid, { id: owner.id, issuer: owner.issuer, subject: owner.subject }, [])
    if (onBehalfOf !== undefined) addUser(onBehalfOf)
    const user = onBehalfOf === undefined ? {} : { onBehalfOf: reference(userUid(onBehalfOf)) }
    const attrs = { owner: reference(ownerUid), ownerIssuer: owner.issuer, purpose, ...user }
    add({ type: 'Task', id }, attrs, [BROKER], { ...labels })
  }
  // Last, so that the caller's own entity wins over that of an owner with the same id from another issuer.
  const groups = workload.groups.map((id) => ({ type: 'Group', id }))
  for (const group of groups) add(group, {}, [])
  const { id, issuer, subject } = workload
  add({ type: 'Workload', id }, { id, issuer, subject }, groups)
  return [...entities.values()]
}
