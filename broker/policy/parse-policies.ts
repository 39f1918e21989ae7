import { parseDurationSeconds } from '../clock.ts'
import { messageOf, type Flaw } from '../errors.ts'
import { policySetTextToParts, policyToJson, type DetailedError } from './cedar.ts'
import type { Policy } from './policy-engine.ts'

export interface PolicyFile {
  readonly file: string
  readonly text: string
}

/** A policy that is well-formed by itself. */
export interface ParsedPolicy extends Policy {
  readonly file: string
  readonly line: number
}

export const MAX_FILE_BYTES = 1_048_576
const MAX_TTL_SECONDS = 31_536_000
const ID = /^[A-Za-z0-9._:-]{1,128}$/
const KNOWN_ANNOTATIONS = ['id', 'maxTtl', 'description']
// Text that reads in another order than it is evaluated. https://trojansource.codes
const BIDI = /\p{Bidi_Control}/u

/** Reads the policies of one file; what is wrong with them goes to `flaws`. */
export function parsePolicies({ file, text }: PolicyFile, flaws: Flaw[]): ParsedPolicy[] {
  const fail = (message: string, line?: number): void => {
    flaws.push({
      path: `policies/${file}`,
      message: line === undefined ? message : `line ${line}: ${message}`,
    })
  }
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    fail(`expected at most ${MAX_FILE_BYTES} bytes`)
    return []
  }
  const bidi = text.search(BIDI)
  if (bidi >= 0) fail('expected no bidirectional control characters', lineAt(text, bidi))
  const parts = attempt(() => policySetTextToParts(text))
  if (parts.type === 'failure') {
    for (const error of parts.errors) fail(describe(error), lineOfError(text, error))
    return []
  }
  if (parts.policy_templates.length > 0) {
    for (const template of parts.policy_templates) {
      fail('expected a policy and not a template', lineAt(text, text.indexOf(template)))
    }
    return []
  }
  let offset = 0
  return inSourceOrder(parts.policies).flatMap((policy) => {
    offset = Math.max(offset, text.indexOf(policy, offset))
    const line = lineAt(text, offset)
    offset += policy.length
    const parsed = parsePolicy(policy, (message) => fail(message, line))
    return parsed === undefined ? [] : [{ ...parsed, file, line }]
  })
}

/** Cedar numbers policies as they stand in the text, and sorts the numbers as text: 0, 1, 10, 11, 2. */
function inSourceOrder(policies: readonly string[]): readonly string[] {
  const positions = policies
    .map((_policy, index) => index)
    .toSorted((a, b) => (String(a) < String(b) ? -1 : 1))
  return policies
    .map((policy, index) => ({ policy, position: positions[index] ?? index }))
    .toSorted((a, b) => a.position - b.position)
    .map(({ policy }) => policy)
}

function parsePolicy(text: string, fail: (message: string) => void): Policy | undefined {
  const parsed = attempt(() => policyToJson(text))
  if (parsed.type === 'failure') {
    for (const error of parsed.errors) fail(describe(error))
    return undefined
  }
  const { effect, annotations = {} } = parsed.json
  // An annotation without a value is null here, whatever Cedar's types say.
  const values = new Map<string, string | null>(Object.entries(annotations))
  const id = values.get('id') ?? undefined
  if (id === undefined || !ID.test(id)) {
    fail('expected an @id of 1 to 128 characters A-Z a-z 0-9 . _ : -')
    return undefined
  }
  for (const name of values.keys()) {
    // It may be an obligation of a later release, and one that is ignored allows what it was to hold back.
    if (!KNOWN_ANNOTATIONS.includes(name)) {
      fail(
        `${id}: the annotation @${name} is not supported, only ${KNOWN_ANNOTATIONS.map((one) => `@${one}`).join(', ')}`,
      )
    }
  }
  const maxTtlSeconds = parseDurationSeconds(values.get('maxTtl') ?? '')
  if (values.has('maxTtl')) {
    if (effect === 'forbid') fail(`${id}: @maxTtl has no meaning on a forbid`)
    if (maxTtlSeconds === undefined || maxTtlSeconds < 1 || maxTtlSeconds > MAX_TTL_SECONDS) {
      fail(`${id}: expected @maxTtl with a duration such as 90s, 15m or 8h, at most 365d`)
    }
  }
  return { id, text, maxTtlSeconds }
}

/** An answer of Cedar; a text that is nested too deep for its parser throws. */
export function attempt<T>(
  call: () => T,
): T | { readonly type: 'failure'; readonly errors: DetailedError[] } {
  try {
    return call()
  } catch (error) {
    const message = `Cedar cannot read this: ${messageOf(error)}`
    const nothing = { help: null, code: null, url: null, severity: null }
    return { type: 'failure', errors: [{ message, ...nothing }] }
  }
}

export function describe({ message, help }: DetailedError): string {
  return typeof help === 'string' ? `${message} (${help})` : message
}

function lineOfError(text: string, { sourceLocations }: DetailedError): number | undefined {
  const start = sourceLocations?.[0]?.start
  if (start === undefined) return undefined
  // Cedar counts bytes of UTF-8.
  return Buffer.from(text).subarray(0, start).toString().split('\n').length
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, Math.max(0, offset)).split('\n').length
}
