import { sessionsDocument } from '../../adapters/aws-sts/denial-document.ts'
import { olderDenial, sessionsDenial } from '../../adapters/aws-sts/denial-name.ts'
import { CLOCK_SECONDS, planUpkeep, type Document } from '../../adapters/aws-sts/plan-upkeep.ts'

/** What AWS holds of one role, where a policy that was put counts only after the longest time that IAM may take. */
interface Standing {
  readonly document: Document
  readonly putAt: number
}

interface Session {
  readonly tail: string
  readonly issuedAt: number
  readonly endsAt: number
  readonly deniedAt: number
}

type Step = () => void

const BROKERS = 3
/** The longest that it takes from when a name is made until the document is there, and then until it counts. */
const PUT_SECONDS = 20
const SPREAD_SECONDS = 60
const STEPS = 600

export function documentOf(
  storeId: string,
  tails: readonly string[],
  created: number,
  until: number,
): Document {
  return { ...sessionsDenial(storeId, created, until, sessionsDocument(tails)), tails: new Set(tails) }
}

/**
 * Several brokers on one role, none of which knows of the others: each reads what there is, decides, and carries it out
 * step by step while others do the same and time goes on. After every step, every session that was denied longer ago
 * than IAM takes is denied by what has stood for as long. Throws if one is not.
 */
export function simulate(
  storeId: string,
  seed: number,
): { readonly steps: number; readonly maxDocuments: number } {
  const random = randomNumbers(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const role = new Map<string, Standing>()
  const sessions: Session[] = []
  const doing: Step[][] = Array.from({ length: BROKERS }, () => [])
  let now = 1_780_000_000
  let count = 0
  let maxDocuments = 0

  function put(document: Document): void {
    if (!role.has(document.name)) role.set(document.name, { document, putAt: now })
  }

  /** A name is made a while before the document under it has come in. */
  const nameTime = (): number => now - below(PUT_SECONDS)

  function revoke(): void {
    const size = random() < 0.8 ? 1 : 1 + below(30)
    const created = nameTime()
    const fresh = Array.from({ length: size }, () => {
      count += 1
      const tail = tailOf(count)
      return { tail, issuedAt: created - below(300), endsAt: now + 1 + below(900), deniedAt: now }
    })
    // Some are withdrawn a second time, by this broker or another.
    const again = sessions.filter(({ endsAt }) => endsAt > now && random() < 0.02)
    const all = [...fresh, ...again]
    const tails = all.map(({ tail }) => tail)
    put(documentOf(storeId, tails, created, Math.max(...all.map(({ endsAt }) => endsAt))))
    sessions.push(...fresh)
  }

  function denyOlder(): void {
    const before = nameTime() + CLOCK_SECONDS
    put({ ...olderDenial(storeId, before, before + 43_200), tails: undefined })
  }

  function beginUpkeep(): Step[] {
    const seen = Array.from(role.values(), ({ document }) => document)
    const { remove, add } = planUpkeep(seen, now, PUT_SECONDS + SPREAD_SECONDS)
    const removing = remove.map(({ name }): Step => {
      return () => void role.delete(name)
    })
    const adding = add.map(({ tails, until, createdFrom }): Step => {
      return () => put(documentOf(storeId, tails, Math.max(nameTime(), createdFrom), until))
    })
    return [...removing, ...adding]
  }

  function verify(): void {
    const spreadOut = [...role.values()].filter(({ putAt }) => putAt + SPREAD_SECONDS <= now)
    for (const { tail, issuedAt, endsAt, deniedAt } of sessions) {
      if (endsAt <= now || deniedAt + SPREAD_SECONDS > now) continue
      const isDenied = spreadOut.some(({ document }) =>
        document.kind === 'older' ? issuedAt < document.created : document.tails?.has(tail) === true,
      )
      if (!isDenied) throw new Error(`session ${tail} is denied nowhere, ${now - deniedAt} s after it was`)
    }
  }

  for (let step = 0; step < STEPS; step += 1) {
    now += below(8)
    const broker = below(BROKERS)
    const steps = doing[broker] ?? []
    const next = steps.shift()
    if (next !== undefined) next()
    else if (random() < 0.45) doing[broker] = beginUpkeep()
    else if (random() < 0.02) denyOlder()
    else revoke()
    maxDocuments = Math.max(maxDocuments, role.size)
    verify()
  }
  return { steps: STEPS, maxDocuments }
}

/** How many sessions are written into merged documents until this many, denied one by one, are in as few as possible. */
export function mergedSize(storeId: string, sessions: number): number {
  let documents: Document[] = []
  let written = 0
  let now = 1_780_000_200
  for (let session = 0; session < sessions; session += 1) {
    now += 200
    documents.push(documentOf(storeId, [tailOf(session)], now, 1_790_000_100))
    const { remove, add } = planUpkeep(documents, now, 80)
    written += add.reduce((sum, one) => sum + one.tails.length, 0)
    documents = documents.filter(({ name }) => !remove.some((one) => one.name === name))
    documents.push(...add.map(({ tails, until }) => documentOf(storeId, tails, now, until)))
  }
  return written
}

function tailOf(number: number): string {
  return number.toString(16).padStart(16, '0')
}

/** mulberry32: the same numbers for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed + 1
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
