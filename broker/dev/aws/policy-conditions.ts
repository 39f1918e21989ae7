import { OPERATORS, PolicyError, quoted } from './condition-operators.ts'

/** The facts of one request: condition keys in lower case, with their values. A key that does not apply is absent. */
export type Context = ReadonlyMap<string, readonly string[]>

export type Condition = (context: Context) => boolean

type KeyType = 'string' | 'date' | 'boolean' | 'list'

/**
 * The keys that requests to the emulator can have. AWS takes any other for one that is always absent, by which a
 * misspelt `Deny` never denies; here it is an error.
 */
const KEYS: ReadonlyMap<string, KeyType> = new Map([
  ['aws:currenttime', 'date'],
  ['aws:epochtime', 'date'],
  ['aws:tokenissuetime', 'date'],
  ['aws:userid', 'string'],
  ['aws:username', 'string'],
  ['aws:principalarn', 'string'],
  ['aws:principalaccount', 'string'],
  ['aws:principaltype', 'string'],
  ['aws:sourceidentity', 'string'],
  ['aws:multifactorauthpresent', 'boolean'],
  ['aws:tagkeys', 'list'],
  ['sts:externalid', 'string'],
  ['sts:sourceidentity', 'string'],
  ['sts:rolesessionname', 'string'],
])
const TAG_KEY = /^aws:(principal|request)tag\/./

/** Facts under the names that AWS documents; those that are undefined are absent. */
export function contextOf(facts: Readonly<Record<string, string | readonly string[] | undefined>>): Context {
  return new Map(
    Object.entries(facts).flatMap(([key, value]) =>
      value === undefined ? [] : [[key.toLowerCase(), [value].flat()] as const],
    ),
  )
}

/**
 * Compiles one entry of a `Condition` block, as `("StringLikeIfExists", "aws:userid", ["AROA…:*"])`. The entries of a
 * block must all hold; of the values of an entry, one. @throws {PolicyError}
 */
export function compileCondition(
  operatorName: string,
  keyName: string,
  values: readonly string[],
): Condition {
  const key = keyName.toLowerCase()
  const keyType = KEYS.get(key) ?? (TAG_KEY.test(key) ? 'string' : undefined)
  if (keyType === undefined) throw new PolicyError(`no request has the condition key ${quoted(keyName)}`)
  if (operatorName === 'Null') return compileNull(key, values)

  const match = /^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$/.exec(operatorName)
  const [, quantifier, name, ifExists] = match ?? []
  const operator = OPERATORS.get(name ?? '')
  if (operator === undefined) throw new PolicyError(`unknown condition operator ${quoted(operatorName)}`)
  requireFit(operatorName, operator.type, keyName, keyType, quantifier)

  const tests = values.map((value) => operator.compile(value))
  const holds = (actual: string): boolean => tests.some((test) => test(actual)) !== operator.negated
  return (context) => {
    const actual = context.get(key)
    if (actual === undefined) {
      return ifExists !== undefined || (quantifier === undefined ? operator.negated : isForAll(quantifier))
    }
    return isForAll(quantifier) ? actual.every(holds) : actual.some(holds)
  }
}

function isForAll(quantifier: string | undefined): boolean {
  return quantifier === 'ForAllValues'
}

function compileNull(key: string, values: readonly string[]): Condition {
  const expected = values.map((value) => {
    if (value !== 'true' && value !== 'false') throw new PolicyError(`Null takes true or false`)
    return value === 'true'
  })
  return (context) => expected.includes(!context.has(key))
}

/** AWS evaluates a misfit to false without a word. @throws {PolicyError} */
function requireFit(
  operator: string,
  type: string,
  key: string,
  keyType: KeyType,
  quantifier: string | undefined,
): void {
  if (type === 'date' && keyType !== 'date')
    throw new PolicyError(`${operator}: ${quoted(key)} is not a date`)
  if (type === 'boolean' && keyType !== 'boolean') {
    throw new PolicyError(`${operator}: ${quoted(key)} is not a boolean`)
  }
  if (keyType === 'list' && quantifier === undefined) {
    throw new PolicyError(`${quoted(key)} has many values: use ForAllValues or ForAnyValue`)
  }
}
