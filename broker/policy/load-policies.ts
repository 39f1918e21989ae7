import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseDurationSeconds } from '../clock.ts'
import { StartupError, messageOf, type Flaw } from '../errors.ts'
import { BUILTIN_POLICIES } from './builtin-policies.ts'
import { policySetTextToParts, policyToJson, validate } from './cedar.ts'
import { createPolicyEngine, type Policy, type PolicyEngine } from './policy-engine.ts'
import { SCHEMA } from './schema.ts'

export interface PolicyFile {
  readonly file: string
  readonly text: string
}

const MAX_FILE_BYTES = 1024 * 1024
const MAX_POLICIES = 1_000
const ID = /^[A-Za-z0-9._:-]{1,128}$/
const RESERVED = 'taskgrant:'
/** Anything else could be an obligation, and one that is ignored would allow what it was to hold back. */
const ANNOTATIONS = new Set(['id', 'maxTtl', 'description'])

/** Reads the `*.cedar` files of a folder. @throws {StartupError} with every flaw */
export async function loadPolicies(directory: string): Promise<PolicyEngine> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw new StartupError(`the policies cannot be read: ${messageOf(error)}`, [], { cause: error })
  })
  const files = await Promise.all(
    names
      .filter((name) => name.endsWith('.cedar'))
      .toSorted()
      .map(async (file) => ({ file, text: await readFile(join(directory, file), 'utf8') })),
  )
  return compilePolicies(files)
}

/** Checks policies and makes an engine of them. @throws {StartupError} with every flaw */
export function compilePolicies(files: readonly PolicyFile[]): PolicyEngine {
  const flaws: Flaw[] = []
  const policies = [...parse({ file: 'built-in', text: BUILTIN_POLICIES }, flaws)]
  for (const file of files) {
    for (const policy of parse(file, flaws)) {
      const path = `policies/${file.file}`
      if (policy.id.startsWith(RESERVED))
        flaws.push({ path, message: `${policy.id}: ids beginning with ${RESERVED} are ours` })
      if (policies.some(({ id }) => id === policy.id))
        flaws.push({ path, message: `${policy.id}: this id is taken` })
      policies.push(policy)
    }
  }
  if (policies.length > MAX_POLICIES)
    flaws.push({ path: 'policies', message: `expected at most ${MAX_POLICIES} policies` })
  if (flaws.length === 0) flaws.push(...validationFlaws(policies))
  if (flaws.length > 0) throw new StartupError('the policies have errors', flaws)

  const hash = createHash('sha256')
  for (const { id, text } of policies.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
    hash.update(JSON.stringify([id, text]))
  return createPolicyEngine(policies, hash.digest('hex'))
}

function parse({ file, text }: PolicyFile, flaws: Flaw[]): Policy[] {
  const path = `policies/${file}`
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    flaws.push({ path, message: 'expected at most 1 MiB' })
    return []
  }
  const parts = policySetTextToParts(text)
  if (parts.type === 'failure') {
    flaws.push(...parts.errors.map(({ message }) => ({ path, message })))
    return []
  }
  if (parts.policy_templates.length > 0) flaws.push({ path, message: 'templates are not supported' })
  return parts.policies.flatMap((policy, index) => {
    const parsed = policyToJson(policy)
    if (parsed.type === 'failure') {
      flaws.push(...parsed.errors.map(({ message }) => ({ path, message })))
      return []
    }
    const annotations = parsed.json.annotations ?? {}
    const id = annotations['id']
    const fail = (message: string): void => {
      flaws.push({ path, message: `${id ?? `policy ${index + 1}`}: ${message}` })
    }
    if (id === undefined || id === null || !ID.test(id)) {
      fail('expected an @id of 1 to 128 characters A-Z a-z 0-9 . _ : -')
      return []
    }
    for (const name of Object.keys(annotations)) {
      if (!ANNOTATIONS.has(name)) fail(`annotation @${name} is not known to this release`)
    }
    const maxTtl = annotations['maxTtl']
    const maxTtlSeconds = typeof maxTtl === 'string' ? parseDurationSeconds(maxTtl) : undefined
    if (maxTtl !== undefined && (maxTtlSeconds === undefined || maxTtlSeconds < 1)) {
      fail('expected @maxTtl with a duration such as 90s, 15m or 8h')
    }
    return [{ id, text: policy, maxTtlSeconds }]
  })
}

function validationFlaws(policies: readonly Policy[]): Flaw[] {
  const answer = validate({
    schema: SCHEMA,
    policies: { staticPolicies: Object.fromEntries(policies.map(({ id, text }) => [id, text])) },
    validationSettings: { mode: 'strict' },
  })
  if (answer.type === 'failure') return answer.errors.map(({ message }) => ({ path: 'policies', message }))
  return answer.validationErrors.map(({ policyId, error }) => ({
    path: 'policies',
    message: `${policyId}: ${error.message}${typeof error.help === 'string' ? ` (${error.help})` : ''}`,
  }))
}
