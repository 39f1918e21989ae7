import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { StartupError, messageOf, type Flaw } from '../errors.ts'
import { BUILTIN_POLICIES } from './builtin-policies.ts'
import { validate } from './cedar.ts'
import {
  attempt,
  describe,
  MAX_FILE_BYTES,
  parsePolicies,
  type ParsedPolicy,
  type PolicyFile,
} from './parse-policies.ts'
import { createPolicyEngine, type PolicyEngine } from './policy-engine.ts'
import { SCHEMA } from './schema.ts'

const MAX_POLICIES = 1_000
const RESERVED = 'taskgrant:'

/** Reads the `*.cedar` files of a folder, but not of those in it. @throws {StartupError} with every flaw */
export async function loadPolicies(directory: string): Promise<PolicyEngine> {
  const names = await readdir(directory).catch((error: unknown) => {
    const flaw = { path: 'policies', message: messageOf(error) }
    throw new StartupError('the folder of policies cannot be read', [flaw], { cause: error })
  })
  const files: PolicyFile[] = []
  const flaws: Flaw[] = []
  for (const file of names.filter((name) => name.endsWith('.cedar') && !name.startsWith('.')).toSorted()) {
    try {
      files.push({ file, text: await readText(join(directory, file)) })
    } catch (error) {
      flaws.push({ path: `policies/${file}`, message: messageOf(error) })
    }
  }
  if (flaws.length > 0) throw new StartupError('the policies cannot be read', flaws)
  return compilePolicies(files)
}

async function readText(path: string): Promise<string> {
  if ((await stat(path)).size > MAX_FILE_BYTES) throw new Error(`expected at most ${MAX_FILE_BYTES} bytes`)
  // Bytes that are not UTF-8 would otherwise become U+FFFD, and a forbid would name something else.
  return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
}

/** Checks policies, those that are built in added, and makes an engine of them. @throws {StartupError} with every flaw */
export function compilePolicies(files: readonly PolicyFile[]): PolicyEngine {
  const flaws: Flaw[] = []
  const builtin = parsePolicies({ file: 'built-in', text: BUILTIN_POLICIES }, flaws)
  const own = files.flatMap((file) => parsePolicies(file, flaws))
  const policies = [...builtin, ...own]
  if (own.length > MAX_POLICIES) {
    flaws.push({ path: 'policies', message: `expected at most ${MAX_POLICIES} policies, not ${own.length}` })
  }
  flaws.push(...idFlaws(own))
  // Cedar names policies in its findings: only with unique ids is it clear which.
  if (flaws.length === 0) flaws.push(...validationFlaws(policies))
  if (flaws.length > 0) throw new StartupError('the policies have errors', flaws)
  return createPolicyEngine(policies, hashOf(policies))
}

function idFlaws(policies: readonly ParsedPolicy[]): Flaw[] {
  const taken = new Map<string, ParsedPolicy>()
  return policies.flatMap((policy) => {
    const { id } = policy
    const first = taken.get(id)
    taken.set(id, first ?? policy)
    if (id.startsWith(RESERVED))
      return [flawOf(policy, `${id}: ids that begin with ${RESERVED} are built in`)]
    if (first === undefined) return []
    return [
      flawOf(policy, `${id}: expected another id, this one is that of ${first.file} line ${first.line}`),
    ]
  })
}

function validationFlaws(policies: readonly ParsedPolicy[]): Flaw[] {
  const answer = attempt(() =>
    validate({
      schema: SCHEMA,
      policies: { staticPolicies: Object.fromEntries(policies.map(({ id, text }) => [id, text])) },
      validationSettings: { mode: 'strict' },
    }),
  )
  if (answer.type === 'failure') {
    return answer.errors.map((error) => ({ path: 'policies', message: describe(error) }))
  }
  const byId = new Map(policies.map((policy) => [policy.id, policy]))
  // A forbid that can never apply is a fence that is not there. Cedar's other warnings are about spelling.
  const impossible = answer.validationWarnings.filter(({ error }) =>
    error.message.includes('policy is impossible'),
  )
  const failed = new Set(answer.validationErrors.map(({ policyId }) => policyId))
  return [...answer.validationErrors, ...impossible.filter(({ policyId }) => !failed.has(policyId))].map(
    ({ policyId, error }) => {
      const policy = byId.get(policyId)
      const message = `${policyId}: ${describe(error)}`
      return policy === undefined ? { path: 'policies', message } : flawOf(policy, message)
    },
  )
}

function flawOf({ file, line }: ParsedPolicy, message: string): Flaw {
  return { path: `policies/${file}`, message: `line ${line}: ${message}` }
}

/** The same for the same policies, in whatever files and order they are. */
function hashOf(policies: readonly ParsedPolicy[]): string {
  const hash = createHash('sha256')
  for (const { id, text } of policies.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    hash.update(JSON.stringify([id, text]))
  }
  return hash.digest('hex')
}
