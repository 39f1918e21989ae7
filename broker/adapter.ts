import type { z } from 'zod'
import type { JsonObject } from './json.ts'
import type { Secret } from './secret.ts'

/**
 * The contract between the broker and the code for one kind of backend.
 *
 * grant    one credential, for one task, at one access of one resource
 * handle   what it takes to withdraw a grant; holds no secret; stored before anything is created
 * issue    creates the credential on the backend
 * revoke   first ends access, then removes what was created
 */

/** What is known of a grant before it is recorded. */
export interface GrantPlan {
  readonly grantId: string
  readonly taskId: string
  /** Tells the brokers of one store from those of another on a shared backend: 8 characters of `[0-9a-z]`. */
  readonly storeId: string
  /** The name of the access in the configuration of this resource. */
  readonly access: string
  /** The caller's parameters, already validated by {@link Adapter.params}. */
  readonly params: JsonObject
  readonly workloadId: string
  /** How long it is to live; how long exactly is decided when it is recorded. */
  readonly ttlSeconds: number
}

/** A grant that has been recorded and may now be created. */
export interface GrantRequest extends GrantPlan {
  /** When the credential must stop working, by the backend's own clock if it has one. */
  readonly expiresAt: Date
  /** The backend must refuse to create the credential after this moment, where it can be told to. */
  readonly issueBefore: Date
}

/** Bounds one call that leaves the process. */
export interface Call {
  readonly signal: AbortSignal
  /** How long the call may take in all, in milliseconds; `signal` aborts then. */
  readonly timeoutMs: number
}

/** A credential as it is handed to the caller: `kind` and the fields that the adapter documents. */
export type Credential = JsonObject & { readonly kind: string }

export interface Issued {
  readonly credential: Secret<Credential>
  /** Set when the backend made it end earlier than asked. */
  readonly expiresAt?: Date
  /** Set when the backend's answer adds what a withdrawal can use; replaces the planned handle. */
  readonly handle?: JsonObject
}

/**
 * What became of one handle. `ended`: it opens nothing and its sessions are closed. `removed: false` then names
 * what is left on the backend. `open`: access may still be there, try again. `expiring`: this resource cannot end
 * access before `endsAt`, when the backend's own clock does: then it has ended, without another call.
 */
export type Revoked =
  | { readonly access: 'ended'; readonly removed: true }
  | { readonly access: 'ended'; readonly removed: false; readonly residue: string }
  | { readonly access: 'open'; readonly error: AdapterError }
  | { readonly access: 'expiring'; readonly endsAt: Date }

export interface Guarantees {
  /** `exact`: the backend itself refuses the credential from `expiresAt` on. */
  readonly nativeExpiry: 'exact' | 'none'
  /**
   * `immediate`: when a withdrawal is answered, access has ended. `eventual`: it ends as soon as whoever checks the
   * credential has looked again. `expiry-only`: there is no withdrawal, and a task ends when its credential expires.
   */
  readonly revocation: 'immediate' | 'eventual' | 'expiry-only'
}

/** A credential's handle, as found on the backend. */
export interface Found {
  readonly grantId: string
  readonly handle: JsonObject
}

/** A credential that was withdrawn and is named by a serial. */
export interface LedgerEntry {
  readonly serial: string
  /** When it would have expired. */
  readonly expiresAt: Date
}

export interface WithdrawnEntry extends LedgerEntry {
  readonly withdrawnAt: Date
}

/** All that was withdrawn and had not expired by a moment, at one point in time. */
export interface WithdrawnList {
  /** Larger than that of every list of this authority that was taken before. */
  readonly number: number
  readonly takenAt: Date
  readonly entries: readonly WithdrawnEntry[]
}

export type SerialStatus =
  | { readonly status: 'good' | 'unknown' }
  | { readonly status: 'withdrawn'; readonly withdrawnAt: Date }

/**
 * What the store keeps for adapters whose credentials are checked by others: which of them were withdrawn. All brokers
 * of a store see the same. `authority` names what signed them. Handles of such credentials have members `authority` and
 * `serial`. @throws {BrokerError} `store_unavailable`
 */
export interface Ledger {
  /** Records serials as withdrawn. Those that are already keep their time; those that have expired are left out. */
  withdraw(authority: string, entries: readonly LedgerEntry[]): Promise<void>
  /** A number that grows whenever something is withdrawn. */
  changes(authority: string): Promise<number>
  list(authority: string, expiringAfter: Date): Promise<WithdrawnList>
  /** `good`: a grant was recorded with this serial. */
  statusOf(authority: string, serials: readonly string[]): Promise<ReadonlyMap<string, SerialStatus>>
  /** Forgets what was withdrawn and expired before this moment. */
  forget(authority: string, expiredBefore: Date): Promise<void>
}

/** One authority that signs credentials, as those see it who verify them. */
export interface Authority {
  /** Its key, as the handles of its grants and the paths of its lists name it. */
  readonly id: string
  /** Its certificate and those above it, PEM. */
  readonly certificates: string
  readonly certificateDer: Uint8Array
  /** False: its credentials are still accepted, and it signs no new ones. */
  readonly signs: boolean
  /** False: nothing of it is ever listed as withdrawn. */
  readonly lists: boolean
}

/** A signed list of what was withdrawn. https://www.rfc-editor.org/rfc/rfc5280#section-5 */
export interface RevocationList {
  readonly der: Uint8Array
  readonly nextUpdate: Date
}

/** https://www.rfc-editor.org/rfc/rfc6960#section-4.2 */
export interface OcspAnswer {
  readonly der: Uint8Array
  /** Until when everybody may be given the same answer; undefined: nobody else may. */
  readonly sharedUntil: Date | undefined
}

/** What those need who verify the credentials of an adapter. Served to anybody. */
export interface Verification {
  readonly authorities: readonly Authority[]
  /** @throws {BrokerError} `store_unavailable` */
  revocationList(authority: string): Promise<RevocationList>
  /** Answers any bytes. Undefined: it asks about none of these authorities. */
  ocsp(request: Uint8Array): Promise<OcspAnswer | undefined>
}

export interface Adapter extends AsyncDisposable {
  readonly kind: string
  /** False: `issue` changes nothing outside this process. */
  readonly sideEffects: boolean
  readonly guarantees: Guarantees
  /** What a caller may pass as `params` with a grant of this access. */
  params(access: string): z.ZodType<JsonObject>
  /** Derives the handle. No I/O; the same plan gives the same handle. */
  plan(grant: GrantPlan): JsonObject
  /** Creates the credential, at most once per handle. @throws {AdapterError} */
  issue(grant: GrantRequest, handle: JsonObject, call: Call): Promise<Issued>
  /** Moves the end of a live credential. Absent: credentials of this kind cannot be renewed. @throws {AdapterError} */
  renew?(handle: JsonObject, expiresAt: Date, call: Call): Promise<void>
  /**
   * Withdraws. Never fails because a credential is already gone or was never made; may run twice at once for the
   * same handle. One outcome per handle, in the same order. @throws {AdapterError} when nothing is known of any.
   */
  revoke(handles: readonly JsonObject[], call: Call): Promise<readonly Revoked[]>
  /** Everything on the backend that carries the naming of this store. @throws {AdapterError} */
  list?(storeId: string, call: Call): AsyncIterable<Found>
  /** Removes what withdrawals left on the backend and nobody needs any more. @throws {AdapterError} */
  prune?(storeId: string, call: Call): Promise<void>
  /** Absent: whoever is shown a credential of this kind asks nobody about it. */
  readonly verification?: Verification
  /** Can we do our whole job there? @throws {AdapterError} whose message says what is missing */
  check(call: Call): Promise<void>
}

/** What a kind of backend is asked to build one resource from. */
export interface ResourceSetup<Settings, Access> {
  readonly resource: string
  readonly settings: Settings
  readonly accesses: ReadonlyMap<string, Access>
  /** Where those who verify credentials reach the brokers; undefined if the configuration does not say. */
  readonly publicUrl: URL | undefined
  readonly ledger: Ledger
}

/** One kind of backend: how its part of the configuration reads, and how to make an adapter of it. */
export interface AdapterKind<
  Settings extends z.ZodObject = z.ZodObject,
  Access extends z.ZodObject = z.ZodObject,
> {
  readonly kind: string
  /** The keys of a resource besides `adapter` and `access`. */
  readonly settings: Settings
  /** The keys of an access besides `maxTtl`. */
  readonly access: Access
  create(setup: ResourceSetup<z.output<Settings>, z.output<Access>>): Adapter
}

export type AdapterFailure = 'unavailable' | 'timeout' | 'failed'

/**
 * A backend that could not be reached, did not answer in time, or said no. The message is fit for callers and for
 * the trail: it quotes nothing of the backend that could hold data or a secret.
 */
export class AdapterError extends Error {
  readonly failure: AdapterFailure
  /** False: the call may still take hold on the backend after this error. */
  readonly settled: boolean

  constructor(failure: AdapterFailure, message: string, options: { settled: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AdapterError'
    this.failure = failure
    this.settled = options.settled
  }
}
