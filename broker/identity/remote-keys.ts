import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose'
import { messageOf } from '../errors.ts'
import { Rejection } from './rejection.ts'
import type { KeySourceOptions } from './key-source.ts'

export interface RemoteKeysTiming {
  readonly timeoutMs: number
  /** A key that is not known is looked for at most this often. */
  readonly cooldownMs: number
  /** The same while the issuer does not answer. */
  readonly retryMs: number
  /** Older keys are fetched again before they are used. */
  readonly maxAgeMs: number
  /** Through an outage keys stay in use this long, but not for ever: the issuer may have withdrawn one. */
  readonly maxStaleMs: number
}

const TIMING: RemoteKeysTiming = {
  timeoutMs: 3_000,
  cooldownMs: 30_000,
  retryMs: 5_000,
  maxAgeMs: 600_000,
  maxStaleMs: 24 * 3_600_000,
}

/**
 * Keys that the issuer publishes. When to fetch is decided here and not by jose, whose key set forgets keys that it
 * cannot renew, and during an outage asks again for every token with an unknown key.
 */
export function remoteKeys(uri: URL, options: KeySourceOptions): JWTVerifyGetKey {
  const timing = { ...TIMING, ...options.timing }
  const published = createRemoteJWKSet(uri, {
    timeoutDuration: timing.timeoutMs,
    cooldownDuration: Infinity,
    cacheMaxAge: Infinity,
  })
  let fetchedAt = -Infinity
  let attemptedAt = -Infinity
  let failing = false
  let fetching: Promise<void> | undefined
  const age = (): number => performance.now() - fetchedAt

  async function fetchKeys(): Promise<void> {
    attemptedAt = performance.now()
    try {
      await published.reload()
      fetchedAt = performance.now()
      failing = false
    } catch (error) {
      if (!failing) options.onProblem(`the keys at ${uri.href} cannot be fetched: ${messageOf(error)}`)
      failing = true
    } finally {
      fetching = undefined
    }
  }

  /** Joins the fetch under way, starts one if it is time for it, or does nothing. */
  async function refresh(): Promise<void> {
    const pause = failing ? timing.retryMs : timing.cooldownMs
    if (fetching === undefined && performance.now() - attemptedAt >= pause) fetching = fetchKeys()
    await fetching
  }

  return async (header, token) => {
    if (age() >= timing.maxAgeMs) {
      const refreshed = refresh()
      // Known keys need not wait for an issuer that did not answer before.
      if (!failing || age() >= timing.maxStaleMs) await refreshed
    }
    if (age() >= timing.maxStaleMs)
      throw new Rejection('the keys of the issuer cannot be fetched at the moment')
    try {
      return await published(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await refresh()
      return published(header, token)
    }
  }
}
