import type { JWTPayload } from 'jose'

/** A token that is refused for a reason that its bearer may know. */
export class RejectedToken extends Error {}

const MAX_ID = 256
const MAX_GROUPS = 100
const PLAIN = /^\P{Cc}+$/u

/** A claim by name; a dotted path leads into objects if there is no claim of that very name. */
export function claimOf(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name]
  let value: unknown = payload
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = Reflect.get(value, part)
  }
  return value
}

/** @throws {RejectedToken} unless it is a short, plain, non-empty string */
export function identifierOf(value: unknown): string {
  if (typeof value === 'string' && value.length <= MAX_ID && PLAIN.test(value) && value.isWellFormed())
    return value
  throw new RejectedToken('a claim of the token that names somebody is missing or not usable')
}

/** @throws {RejectedToken} */
export function groupsOf(value: unknown): readonly string[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.length <= MAX_GROUPS) return value.map(identifierOf)
  throw new RejectedToken('the groups of the token are not usable')
}
