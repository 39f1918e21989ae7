import { wholeSeconds, type AwsClock } from './aws-clock.ts'
import { within, type Bounds } from './bounds.ts'
import { RESERVE_DOCUMENT, sessionsDocument, tailsIn } from './denial-document.ts'
import { parseDenial, reserveName, sessionsDenial, type Denial } from './denial-name.ts'
import { fewAtOnce, valuesOf } from './few-at-once.ts'
import { planUpkeep, type Document } from './plan-upkeep.ts'
import { isFull, type RolePolicies } from './role-policies.ts'

/** The longest that putting a document takes, from when its name was made until we do not wait any more. */
export const PUT_MS = 10_000

/** What is needed to look after the policies of one store on one role. */
export interface Keeping {
  readonly policies: RolePolicies
  readonly storeId: string
  readonly clock: AwsClock
  /** How long after its name was made a policy may be relied on by those who remove what it replaces. */
  readonly replaceAfterSeconds: number
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
  const { policies, storeId, clock, replaceAfterSeconds } = keeping
  const names = await policies.list(bounds)
  const documents = await readDocuments(keeping, names, bounds)
  const { remove, add } = planUpkeep(documents, wholeSeconds(clock.now()), replaceAfterSeconds)

  const removals = await fewAtOnce(remove, ({ name }) => policies.remove(name, bounds))
  const mergers = await fewAtOnce(add, ({ tails, until, createdFrom }) =>
    // If there is no room, the parts stay as they are.
    putDenial(keeping, tails, until, bounds, createdFrom).catch(unlessFull),
  )
  const hasReserve = await keepReserve(keeping, names.includes(reserveName(storeId)), bounds)
  valuesOf([...removals, ...mergers])
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
  const documents = await fewAtOnce(denials, (denial) => readDocument(keeping, denial, bounds))
  return valuesOf(documents).filter((document) => document !== undefined)
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

function unlessFull(error: unknown): void {
  if (!isFull(error)) throw error
}
