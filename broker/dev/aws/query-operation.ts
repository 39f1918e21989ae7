import type { Account } from './account.ts'
import type { Caller } from './caller.ts'
import type { Action } from './options.ts'
import type { Parameters } from './parameters.ts'
import type { XmlChildren } from './xml.ts'

/** What an action does, and its result; undefined for one that has none. @throws {AwsError} */
export type QueryOperation = (
  account: Account,
  caller: Caller,
  parameters: Parameters,
) => XmlChildren | undefined

/** A service of the Query protocol: form fields in, XML out. */
export interface QueryService {
  readonly version: string
  readonly namespace: string
  readonly operations: Readonly<Partial<Record<Action, QueryOperation>>>
}

/** AWS's times have whole seconds. */
export function secondsText(time: Date | number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z')
}
