import { identifierOf, RejectedToken } from './claims.ts'
import type { Actor } from './workload.ts'

const MAX_DEPTH = 8

/**
 * The chain of `act` claims, whoever acted last first. https://www.rfc-editor.org/rfc/rfc8693#section-4.1
 *
 * @throws {RejectedToken} if it is deeper than eight or malformed
 */
export function actorsOf(act: unknown): readonly Actor[] {
  const actors: Actor[] = []
  for (let current = act; current !== undefined; current = Reflect.get(current, 'act')) {
    if (typeof current !== 'object' || current === null || Array.isArray(current)) {
      throw new RejectedToken('the chain of actors is malformed')
    }
    if (actors.length === MAX_DEPTH)
      throw new RejectedToken(`the chain of actors is longer than ${MAX_DEPTH}`)
    const issuer: unknown = Reflect.get(current, 'iss')
    actors.push({
      ...(issuer === undefined ? {} : { issuer: identifierOf(issuer) }),
      subject: identifierOf(Reflect.get(current, 'sub')),
    })
  }
  return actors
}
