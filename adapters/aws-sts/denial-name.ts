import { createHash } from 'node:crypto'

/**
 * What the name of one of our policies tells of it. `sessions`: denies sessions by name. `older`: denies all that were
 * opened before `created`. Times in seconds since 1970. Its document never changes; another one has another name.
 */
export interface Denial {
  readonly kind: 'sessions' | 'older'
  readonly name: string
  readonly created: number
  /** Nobody whom it denies can do anything from then on anyway. */
  readonly until: number
}

const OLDER = 'older'
const RESERVE = 'reserve'
const HASH_LENGTH = 10

export function sessionsDenial(storeId: string, created: number, until: number, document: string): Denial {
  const hash = createHash('sha256').update(document).digest('hex').slice(0, HASH_LENGTH)
  return denial('sessions', storeId, created, until, hash)
}

export function olderDenial(storeId: string, before: number, until: number): Denial {
  return denial('older', storeId, before, until, OLDER)
}

/** Of the policy that denies nothing and keeps room. */
export function reserveName(storeId: string): string {
  return `${prefixOf(storeId)}${RESERVE}`
}

/** Undefined for policies that are not ours, but somebody else's or another store's. */
export function parseDenial(storeId: string, name: string): Denial | undefined {
  const prefix = prefixOf(storeId)
  if (!name.startsWith(prefix)) return undefined
  const match = /^([0-9a-z]{1,9})-([0-9a-z]{1,9})-([0-9a-f]{10}|older)$/.exec(name.slice(prefix.length))
  if (match === null) return undefined
  const [, created = '', until = '', last = ''] = match
  const kind = last === OLDER ? 'older' : 'sessions'
  return { kind, name, created: parseInt(created, 36), until: parseInt(until, 36) }
}

/** A total order, the same for all brokers: negative if `one` comes before `other`. */
export function compareDenials(one: Denial, other: Denial): number {
  if (one.created !== other.created) return one.created - other.created
  if (one.name === other.name) return 0
  return one.name < other.name ? -1 : 1
}

function denial(kind: Denial['kind'], storeId: string, created: number, until: number, last: string): Denial {
  const name = `${prefixOf(storeId)}${created.toString(36)}-${until.toString(36)}-${last}`
  return { kind, name, created, until }
}

function prefixOf(storeId: string): string {
  return `taskgrant-${storeId}-`
}
