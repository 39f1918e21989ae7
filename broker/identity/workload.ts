/** The authenticated caller. Its identity is `id` as `issuer` gives it: two issuers may use one id for two workloads. */
export interface Workload {
  readonly id: string
  readonly issuer: string
  readonly subject: string
  readonly groups: readonly string[]
}

/** For whom a workload acts. */
export interface User {
  readonly id: string
  readonly issuer: string
  readonly subject: string
}

/** A party between the user and the workload. https://www.rfc-editor.org/rfc/rfc8693#section-4.1 */
export interface Actor {
  readonly issuer?: string
  readonly subject: string
}

export interface Delegation {
  readonly user: User
  /** The current actor first, the one that the user engaged last. */
  readonly actors: readonly Actor[]
}
