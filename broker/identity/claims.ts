import type { JWTPayload } from 'jose'
import { isIdentifier } from './identifier.ts'
import type { IssuerSettings } from './issuer-config.ts'
import { Rejection } from './rejection.ts'
import type { Actor, Delegation, User, Workload } from './workload.ts'

const MAX_GROUPS = 100
const MAX_ACTORS = 8

type WorkloadMapping = NonNullable<IssuerSettings['workload']>
type UserMapping = NonNullable<IssuerSettings['user']>

/** The workload that the verified claims name. @throws {Rejection} */
export function workloadOf(issuer: string, mapping: WorkloadMapping, claims: JWTPayload): Workload {
  // RFC 8693 section 4.1: with `act`, somebody else holds this token. Taken as the workload's own, it would hide whom.
  if (Object.hasOwn(claims, 'act')) throw new Rejection('a delegated token does not authenticate a workload')
  // RFC 7800: a token that is bound to a key counts only with a proof of that key, which a bearer does not give.
  if (Object.hasOwn(claims, 'cnf'))
    throw new Rejection('the token is bound to a key and cannot be used as bearer')
  const id = identifierAt(claims, mapping.id, mapping.idPrefix)
  return { id, issuer, subject: identifierAt(claims, 'sub'), groups: groupsOf(claims, mapping.groups) }
}

/** The user that the verified claims name, and who acts between. @throws {Rejection} */
export function delegationOf(issuer: string, mapping: UserMapping, claims: JWTPayload): Delegation {
  const user: User = { id: identifierAt(claims, mapping.id), issuer, subject: identifierAt(claims, 'sub') }
  return { user, actors: actorsOf(claims) }
}

function identifierAt(claims: JWTPayload, name: string, prefix = ''): string {
  const value = claimAt(claims, name)
  if (value === undefined) throw new Rejection(`the token has no ${name} claim`)
  const id = typeof value === 'string' && value !== '' ? prefix + value : value
  if (!isIdentifier(id)) throw new Rejection(`the ${name} claim of the token is not usable as an identifier`)
  return id
}

// More groups are refused, not cut off: the one that is left out could be the one that a policy forbids.
function groupsOf(claims: JWTPayload, name: string | undefined): readonly string[] {
  const value = name === undefined ? undefined : claimAt(claims, name)
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > MAX_GROUPS || !value.every(isIdentifier)) {
    throw new Rejection(`the groups of the token are not a list of at most ${MAX_GROUPS} identifiers`)
  }
  return [...new Set(value)]
}

function actorsOf(claims: JWTPayload): readonly Actor[] {
  const actors: Actor[] = []
  let holder: Record<string, unknown> = claims
  while (Object.hasOwn(holder, 'act')) {
    const actor = holder['act']
    if (actors.length === MAX_ACTORS) throw new Rejection(`the token names more than ${MAX_ACTORS} actors`)
    if (!isRecord(actor) || !isIdentifier(actor['sub']))
      throw new Rejection('an actor of the token has no usable sub')
    const issuer = Object.hasOwn(actor, 'iss') ? actor['iss'] : undefined
    if (issuer !== undefined && !isIdentifier(issuer))
      throw new Rejection('an actor of the token has no usable iss')
    actors.push({ subject: actor['sub'], ...(issuer === undefined ? {} : { issuer }) })
    holder = actor
  }
  return actors
}

/** A claim by its whole name first, since names may hold dots (`https://example.com/id`); then by path. */
function claimAt(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  return name
    .split('.')
    .reduce<unknown>(
      (value, part) => (isRecord(value) && Object.hasOwn(value, part) ? value[part] : undefined),
      claims,
    )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
