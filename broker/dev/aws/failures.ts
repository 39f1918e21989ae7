import { AwsError } from './aws-error.ts'
import type { Action, InjectedFailure } from './options.ts'

export interface Failures {
  add(action: Action, failure: InjectedFailure, times: number): void
  /** The failure that a call of this action is to have; each counts once. */
  take(action: string): InjectedFailure | undefined
}

export function openFailures(): Failures {
  const waiting: { readonly action: string; readonly failure: InjectedFailure }[] = []
  return {
    add(action, failure, times) {
      for (let count = 0; count < times; count += 1) waiting.push({ action, failure })
    },
    take(action) {
      const index = waiting.findIndex((one) => one.action === action)
      return index < 0 ? undefined : waiting.splice(index, 1)[0]?.failure
    },
  }
}

/** Undefined for a failure that is not an answer. */
export function errorOf(failure: InjectedFailure): AwsError | undefined {
  if (failure === 'throttling') return new AwsError(400, 'Throttling', 'Rate exceeded')
  if (failure === 'unavailable') {
    return new AwsError(503, 'ServiceUnavailable', 'Service Unavailable')
  }
  if (failure === 'hang' || failure === 'lostAnswer') return undefined
  return new AwsError(failure.status, failure.code, failure.message)
}
