import { groupBy } from '../../broker/group-by.ts'
import { compareDenials, type Denial } from './denial-name.ts'
import { chunked } from './few-at-once.ts'

/** For clocks that differ. */
const EXPIRED_SECONDS = 60
/**
 * A session that AssumeRole opened late, when its denial stood already, was denied a second time by then: the broker
 * withdraws again what was in flight.
 */
const IN_FLIGHT_SECONDS = 120
/** A session may be opened less than this after its denial by our clock, though it was before by AWS's. */
export const CLOCK_SECONDS = 3
/** From more documents than this on, they are worth merging: each costs 129 characters, and 20 for each session. */
const MAX_DOCUMENTS = 8
/** Only documents that end in the same quarter of an hour become one, or some sessions would be denied for ever. */
const MERGE_WINDOW_SECONDS = 900
/** In one document. Larger ones save little, and need as much room again while they replace others. */
export const MAX_SESSIONS = 100

/** One of our policies on a role; `tails` is undefined if its text is not one of ours. */
export type Document = Denial & { readonly tails: ReadonlySet<string> | undefined }

/** A document that is to come after those whose sessions it denies too. */
export interface Merger {
  readonly tails: readonly string[]
  readonly until: number
  /** It must not be older than this (seconds since 1970). */
  readonly createdFrom: number
}

export interface Upkeep {
  readonly remove: readonly Denial[]
  readonly add: readonly Merger[]
}

/**
 * What to do with our policies on a role. No broker waits for another, and none can lose a denial, because a document
 * is removed only if each of its sessions is denied by one that comes *later* in an order which is the same for all:
 * of all documents that deny a session, nobody removes the last. The name of that later one must have been made
 * `replaceAfterSeconds` ago: it was put a while after that, and IAM takes its time until all of AWS goes by it.
 *
 * @param now seconds since 1970
 */
export function planUpkeep(documents: readonly Document[], now: number, replaceAfterSeconds: number): Upkeep {
  const live = documents.filter(({ until }) => until + EXPIRED_SECONDS > now)
  const settled = live.filter(({ created }) => created + replaceAfterSeconds <= now)
  const redundant = live.filter(
    (document) => isOutdated(document, settled, now) || isCovered(document, settled),
  )
  const kept = live.filter((document) => !redundant.includes(document))
  // What is covered already, if not for long enough, is waiting for its turn.
  const mergeable = kept.filter(
    (document) =>
      document.kind === 'sessions' &&
      document.tails !== undefined &&
      !isCovered(document, kept) &&
      !kept.some((other) => endsSooner(document, other)),
  )
  return {
    remove: [...documents.filter((document) => !live.includes(document)), ...redundant],
    add: mergeable.length > MAX_DOCUMENTS ? mergers(mergeable) : [],
  }
}

/** Is each session of it denied by one of `others` that comes later? */
function isCovered(document: Document, others: readonly Document[]): boolean {
  const { tails } = document
  if (document.kind === 'older' || tails === undefined) return false
  const later = others.filter((other) => other.kind === 'sessions' && compareDenials(document, other) < 0)
  return [...tails].every((tail) => later.some((other) => other.tails?.has(tail) === true))
}

/** Was everybody whom it denies opened before the time of a later `older`? */
function isOutdated(document: Document, others: readonly Document[], now: number): boolean {
  const isTime = document.kind === 'older' || document.created + IN_FLIGHT_SECONDS <= now
  return isTime && others.some((other) => endsSooner(document, other))
}

function endsSooner(document: Document, other: Document): boolean {
  if (other.kind !== 'older') return false
  if (document.kind === 'older') return compareDenials(document, other) < 0
  return document.created + CLOCK_SECONDS <= other.created
}

function mergers(mergeable: readonly Document[]): Merger[] {
  const small = mergeable.filter((document) => sizeOf(document) <= MAX_SESSIONS / 2)
  const windows = groupBy(small, ({ until }) => Math.floor(until / MERGE_WINDOW_SECONDS))
  return [...windows.values()].flatMap((documents) => {
    const parts = smallestOf(documents)
    return parts.length < 2 ? [] : mergersOf(parts)
  })
}

/** No document larger than all before it together: else each would be written anew with every few that come. */
function smallestOf(documents: readonly Document[]): Document[] {
  const sorted = documents.toSorted((one, other) => sizeOf(one) - sizeOf(other))
  let sum = 0
  const end = sorted.findIndex((document, index) => {
    if (index > 0 && sizeOf(document) > sum) return true
    sum += sizeOf(document)
    return false
  })
  return end < 0 ? sorted : sorted.slice(0, end)
}

function sizeOf({ tails }: Document): number {
  return tails?.size ?? 0
}

function mergersOf(parts: readonly Document[]): Merger[] {
  const tails = [...new Set(parts.flatMap((part) => [...(part.tails ?? [])]))].toSorted()
  const createdFrom = Math.max(...parts.map((part) => part.created + 1))
  const until = Math.max(...parts.map((part) => part.until))
  return chunked(tails, MAX_SESSIONS).map((chunk) => ({ tails: chunk, until, createdFrom }))
}
