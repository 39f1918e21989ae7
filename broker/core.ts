import type { Adapter } from './adapter.ts'
import type { Background } from './background.ts'
import type { Database } from './db/database.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { PolicyEngine } from './policy/policy-engine.ts'
import type { BackendState } from './reaper/check-backend.ts'

/** One configured backend. */
export interface Resource {
  readonly name: string
  readonly adapter: Adapter
  readonly accesses: ReadonlyMap<string, { readonly maxTtlSeconds: number }>
}

/** Durations and sizes that decide how the broker behaves; set in one place, tightened in tests. */
export interface Timing {
  /** A task's time if its caller asks for none, and the most it gets. */
  readonly defaultTaskTtlSeconds: number
  readonly maxTaskTtlSeconds: number
  /** How long one issue may take before it is given up. */
  readonly issueTimeoutMs: number
  /**
   * After this, no issue of a pending grant can take hold any more: longer than waiting for a connection and the
   * backend's own limit together.
   */
  readonly settleSeconds: number
  /** How long withdrawing one batch may take, and how long its rows are kept from others. */
  readonly withdrawTimeoutMs: number
  readonly withdrawLeaseSeconds: number
  readonly withdrawBatch: number
  readonly stuckAfterAttempts: number
  /** The reaper's pause when nothing is due. */
  readonly reapIntervalMs: number
  readonly reconcileIntervalMs: number
}

export const TIMING: Timing = {
  defaultTaskTtlSeconds: 15 * 60,
  maxTaskTtlSeconds: 8 * 3600,
  issueTimeoutMs: 8_000,
  settleSeconds: 20,
  withdrawTimeoutMs: 15_000,
  withdrawLeaseSeconds: 25,
  withdrawBatch: 500,
  stuckAfterAttempts: 8,
  reapIntervalMs: 500,
  reconcileIntervalMs: 5 * 60_000,
}

/** What every part of the broker works with. */
export interface Core {
  readonly db: Database
  readonly storeId: string
  readonly resources: ReadonlyMap<string, Resource>
  readonly policy: PolicyEngine
  /** What was found last of every backend, by resource. */
  readonly backends: Map<string, BackendState>
  readonly timing: Timing
  readonly background: Background
  readonly logger: Logger
  readonly metrics: Metrics
}
