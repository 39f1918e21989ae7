/** Who calls: authenticated, with the groups that its issuer says. */
export interface Workload {
  readonly id: string
  readonly issuer: string
  readonly subject: string
  readonly groups: readonly string[]
}

/** The person for whom work is done. */
export interface User {
  readonly id: string
  readonly issuer: string
  readonly subject: string
}

/** One link between user and workload (RFC 8693 §4.1, `act`). */
export interface Actor {
  readonly issuer?: string
  readonly subject: string
}

export interface Delegation {
  readonly user: User
  /** Outermost first: whoever acted last. */
  readonly actors: readonly Actor[]
}
