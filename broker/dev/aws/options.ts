import type { Secret } from '../../secret.ts'
import type { PolicyDocument } from './policy-document.ts'

export interface EmulatorOptions {
  /** On 127.0.0.1; 0 or left out: any free one. */
  readonly port?: number
  readonly region: string
  /** 12 digits; 123456789012 if left out. */
  readonly accountId?: string
  readonly users: readonly UserOptions[]
  readonly roles: readonly RoleOptions[]
  /** By ARN. */
  readonly managedPolicies?: Readonly<Record<string, PolicyDocument>>
  /** Contents by `bucket/key`. */
  readonly objects?: Readonly<Record<string, string>>
  /** The clock of everything: signatures, sessions, conditions and the `Date` header. */
  readonly now?: () => Date
}

export interface UserOptions {
  readonly name: string
  readonly accessKeyId: string
  readonly secretAccessKey: Secret<string>
  readonly policies: readonly PolicyDocument[]
}

export interface RoleOptions {
  readonly name: string
  readonly trust: PolicyDocument
  /** Inline policies, by name. */
  readonly policies: Readonly<Record<string, PolicyDocument>>
  /** ARNs of managed policies. */
  readonly attached?: readonly string[]
  /** 3,600 if left out. */
  readonly maxSessionDurationSeconds?: number
}

export type Service = 'sts' | 'iam' | 's3'

export type Action =
  | 'AssumeRole'
  | 'GetCallerIdentity'
  | 'GetRole'
  | 'PutRolePolicy'
  | 'GetRolePolicy'
  | 'DeleteRolePolicy'
  | 'ListRolePolicies'
  | 'GetObject'

/** A call whose signature was right. Others are refused before what they want is looked at. */
export interface RecordedCall {
  readonly at: Date
  readonly service: Service
  /** As it was sent: `AssumeRole`, or a name that the emulator does not know. */
  readonly action: string
  /** ARN. */
  readonly caller: string
  /** As they were sent, such as `Tags.member.1.Key`; none of the known actions takes a secret. */
  readonly parameters: Readonly<Record<string, string>>
  /** AWS's code of what it was refused with, or `hang`; undefined if it took effect. */
  readonly error: string | undefined
}

/**
 * `throttling`, `unavailable` and an error of one's own: refused without effect. `hang`: no effect and no answer.
 * `lostAnswer`: it takes effect, then the connection is cut.
 */
export type InjectedFailure =
  | 'throttling'
  | 'unavailable'
  | 'hang'
  | 'lostAnswer'
  | { readonly status: number; readonly code: string; readonly message: string }

export interface AwsEmulator extends AsyncDisposable {
  readonly url: string
  /** The last 1,000, newest last. */
  readonly calls: readonly RecordedCall[]
  /** Lets the next calls of an action fail; the SDK may repeat some of these by itself. */
  failNext(action: Action, failure: InjectedFailure, times?: number): void
  /** The texts of a role's inline policies, by name. */
  rolePolicies(role: string): ReadonlyMap<string, string>
  /** Ends everything, calls that hang included. */
  close(): Promise<void>
}
