import { AwsError, constraintError, validationError } from './aws-error.ts'

/** The members of a request in the Query protocol, as `Tags.member.1.Key`. */
export type Parameters = ReadonlyMap<string, string>

const MAX_FIELDS = 200
const FORM = 'application/x-www-form-urlencoded'

/** @throws {AwsError} */
export function parseForm(contentType: string, body: Buffer): Parameters {
  if (contentType.split(';')[0]?.trim().toLowerCase() !== FORM) {
    throw new AwsError(400, 'MalformedHttpRequestException', `send the body as ${FORM}`)
  }
  const fields = [...new URLSearchParams(utf8(body))]
  const parameters = new Map(fields)
  if (fields.length > MAX_FIELDS || parameters.size < fields.length) {
    throw new AwsError(400, 'InvalidQueryParameter', 'there are too many fields, or one of them twice')
  }
  return parameters
}

function utf8(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw new AwsError(400, 'InvalidQueryParameter', 'the body is not UTF-8')
  }
}

/** AWS ignores what it does not know; here a test must not pass because of it. @throws {AwsError} */
export function requireKnown(parameters: Parameters, known: readonly string[]): void {
  const names = new Set([...known, 'Action', 'Version'])
  const unknown = [...parameters.keys()].find((name) => !names.has(name.replace(/\.\d+(?=\.|$)/, '.N')))
  if (unknown !== undefined) {
    throw new AwsError(400, 'InvalidQueryParameter', `the emulator does not know the parameter ${unknown}`)
  }
}

export interface TextConstraint {
  readonly min: number
  readonly max: number
  readonly pattern: RegExp
}

/** @throws {AwsError} ValidationError, in AWS's words */
export function requireText(name: string, value: string, { min, max, pattern }: TextConstraint): string {
  const broken = (rule: string): AwsError => constraintError(name, value, `Member must ${rule}`)
  if (value.length < min) throw broken(`have length greater than or equal to ${min}`)
  if (value.length > max) throw broken(`have length less than or equal to ${max}`)
  if (!pattern.test(value)) throw broken(`satisfy regular expression pattern: ${pattern.source}`)
  return value
}

export function optionalText(
  parameters: Parameters,
  name: string,
  constraint: TextConstraint,
): string | undefined {
  const value = parameters.get(name)
  return value === undefined ? undefined : requireText(name, value, constraint)
}

/** @throws {AwsError} ValidationError */
export function neededText(parameters: Parameters, name: string, constraint: TextConstraint): string {
  const value = optionalText(parameters, name, constraint)
  if (value === undefined) throw constraintError(name, 'null', 'Member must not be null')
  return value
}

/** @throws {AwsError} ValidationError */
export function optionalInteger(
  parameters: Parameters,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  const text = parameters.get(name)
  if (text === undefined) return undefined
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN
  if (Number.isNaN(value)) throw validationError(`${name} must be an integer`)
  const broken = (rule: string): AwsError => constraintError(name, text, `Member must have value ${rule}`)
  if (value < min) throw broken(`greater than or equal to ${min}`)
  if (value > max) throw broken(`less than or equal to ${max}`)
  return value
}

/**
 * The fields of each member of a list, as `membersOf(parameters, 'Tags', ['Key', 'Value'])`. A list counts from 1
 * without gaps. @throws {AwsError} ValidationError
 */
export function membersOf(
  parameters: Parameters,
  list: string,
  fields: readonly string[],
  max: number,
): readonly (readonly string[])[] {
  const count = new Set([...parameters.keys()].flatMap((name) => indexIn(name, list))).size
  if (count > max) {
    throw constraintError(list, `${count} members`, `Member must have length less than or equal to ${max}`)
  }
  return Array.from({ length: count }, (_, index) =>
    fields.map((field) => {
      const value = parameters.get(`${list}.member.${index + 1}.${field}`)
      if (value !== undefined) return value
      throw constraintError(`${list}.${index + 1}.member.${field}`, 'null', 'Member must not be null')
    }),
  )
}

function indexIn(name: string, list: string): string[] {
  const [first, member, index] = name.split('.')
  return first === list && member === 'member' && index !== undefined ? [index] : []
}
