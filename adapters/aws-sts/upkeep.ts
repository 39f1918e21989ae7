import type { AwsClock } from './aws-clock.ts'
import { wholeSeconds } from './aws-clock.ts'
import { within, type Bounds } from './bounds.ts'
import { RESERVE_DOCUMENT, sessionsDocument, tailsIn } from './denial-document.ts'
import { parseDenial, reserveName, sessionsDenial, type Denial } from './denial-name.ts'
import { chunked, planUpkeep, PUT_SECONDS, type Document } from './plan-upkeep.ts'
import { isFull, type RolePolicies } from './role-policies.ts'

/** IAM takes few calls at once. */
const AT_ONCE = 4
/** Time is left for a request to be on its way after nobody waits for it any more. */
export const PUT_MS = (PUT_SECONDS * 1000) / 2

/** What is needed to look after the policies of one store on one role. */
export interface Keeping {
  readonly policies: RolePolicies
  readonly storeId: string
  readonly clock: AwsClock
  /** How long IAM is given until all of AWS goes by a policy. */
  readonly spreadSeconds: number
  /** Keep room for a document that denies all older sessions. */
  readonly keepsReserve: boolean
  /** Whom documents deny that were read or written before, by name: they never change. */
  readonly known: Map<string, ReadonlySet<string>>
}

/** What is on the role afterwards. */
export interface Kept {
  /** Whoever was opened before this is denied (seconds since 1970); 0: there is no such document. */
  readonly olderThan: number
  readonly hasReserve: boolean
}

/**
 * Removes what nobody needs any more, and merges small documents. Never touches a policy that is not ours.
 *
 * @throws {AwsFailure} once it has done what it could
 */
export async function keepUp(keeping: Keeping, bounds: Bounds): Promise<Kept> {
  const { policies, storeId, clock, spreadSeconds } = keeping
  const names = await policies.list(bounds)
  const documents = await readDocuments(keeping, names, bounds)
  const { remove, add } = planUpkeep(documents, wholeSeconds(clock.now()), spreadSeconds)

  const failures: unknown[] = []
  for (const some of chunked(remove, AT_ONCE)) {
    const removed = await Promise.allSettled(some.map(({ name }) => policies.remove(name, bounds)))
    failures.push(...removed.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : [])))
  }
  for (const { tails, until, createdFrom } of add) {
    try {
      await putDenial(keeping, tails, until, bounds, createdFrom)
    } catch (error) {
      // Then its parts stay as they are.
      if (!isFull(error)) failures.push(error)
    }
  }
  const hasReserve = await keepReserve(keeping, names.includes(reserveName(storeId)), bounds)
  if (failures.length > 0) throw failures[0]
  const olders = documents.filter(
    ({ kind, name }) => kind === 'older' && !remove.some((one) => one.name === name),
  )
  return { olderThan: Math.max(0, ...olders.map(({ created }) => created)), hasReserve }
}

/**
 * Denies these sessions with a document of their own. It is made from now on, not from when it was decided on: others
 * go by its age. @throws {AwsFailure}
 */
export async function putDenial(
  { policies, storeId, clock, known }: Keeping,
  tails: readonly string[],
  until: number,
  bounds: Bounds,
  createdFrom = 0,
): Promise<void> {
  const document = sessionsDocument(tails)
  const created = Math.max(wholeSeconds(clock.now()), createdFrom)
  const { name } = sessionsDenial(storeId, created, until, document)
  await policies.put(name, document, within(bounds, PUT_MS))
  known.set(name, new Set(tails))
}

async function readDocuments(
  keeping: Keeping,
  names: readonly string[],
  bounds: Bounds,
): Promise<Document[]> {
  const denials = names.flatMap((name) => parseDenial(keeping.storeId, name) ?? [])
  const present = new Set(denials.map(({ name }) => name))
  for (const name of keeping.known.keys()) if (!present.has(name)) keeping.known.delete(name)
  const documents: Document[] = []
  for (const some of chunked(denials, AT_ONCE)) {
    const read = await Promise.all(some.map((denial) => readDocument(keeping, denial, bounds)))
    documents.push(...read.flatMap((document) => document ?? []))
  }
  return documents
}

/** Undefined if another broker has removed it meanwhile. */
async function readDocument(
  { policies, known }: Keeping,
  denial: Denial,
  bounds: Bounds,
): Promise<Document | undefined> {
  if (denial.kind === 'older') return { ...denial, tails: undefined }
  const before = known.get(denial.name)
  if (before !== undefined) return { ...denial, tails: before }
  const text = await policies.get(denial.name, bounds)
  if (text === undefined) return undefined
  const tails = tailsIn(text)
  if (tails !== undefined) known.set(denial.name, tails)
  return { ...denial, tails }
}

/** Is there a reserve now? */
async function keepReserve(
  { policies, storeId, keepsReserve }: Keeping,
  isThere: boolean,
  bounds: Bounds,
): Promise<boolean> {
  if (isThere === keepsReserve) return isThere
  if (!keepsReserve) {
    await policies.remove(reserveName(storeId), bounds)
    return false
  }
  try {
    await policies.put(reserveName(storeId), RESERVE_DOCUMENT, bounds)
    return true
  } catch (error) {
    if (isFull(error)) return false
    throw error
  }
}
