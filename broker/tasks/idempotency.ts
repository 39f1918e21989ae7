import { createHash } from 'node:crypto'
import { BrokerError } from '../errors.ts'
import type { EarlierAttempt } from './idempotency-store.ts'

/** How a caller marks a minting call, so that repeating it never leaves two live credentials. */
export interface Idempotency {
  readonly key: string
  readonly requestHash: string
}

/** Tells requests apart without keeping them. Tokens are left out: a retry may bring a fresh one. */
export function requestHashOf(request: unknown): string {
  const text = JSON.stringify(request, (_name, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
  return createHash('sha256').update(text).digest('hex')
}

/** @throws {BrokerError} `idempotency_key_reused` */
export function requireSameRequest(earlier: EarlierAttempt, requestHash: string): void {
  if (earlier.requestHash === requestHash) return
  throw new BrokerError('idempotency_key_reused', 'this Idempotency-Key was used for a different request')
}
