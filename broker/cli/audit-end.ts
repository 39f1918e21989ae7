import type { ApiClient } from './api-client.ts'
import type { AuditEvent, Page } from './api-types.ts'

const FIRST_GUESS = 1_024
const GROWTH = 8

/**
 * The sequence number of the newest event, found by asking what comes after a guess: the log has no other end to
 * hold it by. Some thirty short calls for a million events.
 */
export async function findNewest(api: ApiClient): Promise<number> {
  let below = 0
  let above = FIRST_GUESS
  while (await hasAfter(api, above)) {
    below = above
    above *= GROWTH
  }
  while (below < above) {
    const middle = Math.floor((below + above) / 2)
    if (await hasAfter(api, middle)) below = middle + 1
    else above = middle
  }
  return below
}

async function hasAfter(api: ApiClient, sequence: number): Promise<boolean> {
  const { body } = await api.get<Page<AuditEvent>>('/v1/audit', { after: sequence, limit: 1 })
  return body.items.length > 0
}
