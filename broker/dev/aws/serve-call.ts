import type { Account } from './account.ts'
import { QUERY_SERVICES, resultAnswer, type Answer } from './answers.ts'
import { authenticate } from './authenticate.ts'
import { AwsError } from './aws-error.ts'
import type { Caller } from './caller.ts'
import { errorOf, type Failures } from './failures.ts'
import type { Action, InjectedFailure, RecordedCall, Service } from './options.ts'
import { parseForm, type Parameters } from './parameters.ts'
import type { QueryService } from './query-operation.ts'
import { getObject, objectNameOf } from './s3.ts'
import { splitTarget, type RawRequest } from './signature.ts'

/** The parts of an emulator that a call needs. */
export interface Emulation {
  readonly account: Account
  readonly failures: Failures
  readonly record: (call: RecordedCall) => void
}

/** `hang`: leave the caller waiting. `lostAnswer`: cut the connection; what was asked has been done. */
export type Served = Answer | 'hang' | 'lostAnswer'

interface Call {
  readonly action: string
  readonly parameters: Parameters
  readonly run: () => Answer
}

/** Any other value of a request is short. */
const MAX_RECORDED_LENGTH = 16_384

/** Does what a request asks, if it may. @throws {AwsError} */
export function serveCall(
  emulation: Emulation,
  service: Service,
  request: RawRequest,
  requestId: string,
): Served {
  const { account, failures, record } = emulation
  const caller = authenticate(account, service, request)
  const call =
    service === 's3'
      ? objectCall(account, caller, request)
      : queryCall(account, caller, QUERY_SERVICES[service], request, requestId)
  const recordAs = (error: string | undefined): void => {
    const parameters = [...call.parameters].map(([name, value]) => [
      name,
      value.slice(0, MAX_RECORDED_LENGTH),
    ])
    const { action } = call
    record({
      at: account.now(),
      service,
      action,
      caller: caller.arn,
      parameters: Object.fromEntries(parameters),
      error,
    })
  }
  try {
    const served = runUnlessFailing(call, failures.take(call.action))
    recordAs(served === 'hang' ? 'hang' : undefined)
    return served
  } catch (error) {
    recordAs(error instanceof AwsError ? error.code : 'InternalFailure')
    throw error
  }
}

function runUnlessFailing(call: Call, failure: InjectedFailure | undefined): Served {
  if (failure === undefined) return call.run()
  const error = errorOf(failure)
  if (error !== undefined) throw error
  if (failure === 'hang') return 'hang'
  call.run()
  return 'lostAnswer'
}

function objectCall(account: Account, caller: Caller, request: RawRequest): Call {
  const name = objectNameOf(request)
  return {
    action: 'GetObject',
    parameters: new Map([
      ['Bucket', name.bucket],
      ['Key', name.key],
    ]),
    run: () => ({
      status: 200,
      contentType: 'application/octet-stream',
      body: getObject(account, caller, name),
    }),
  }
}

function queryCall(
  account: Account,
  caller: Caller,
  service: QueryService,
  request: RawRequest,
  requestId: string,
): Call {
  const [path, query] = splitTarget(request.target)
  if (request.method !== 'POST' || path !== '/' || query !== '') {
    throw new AwsError(400, 'MalformedHttpRequestException', 'the emulator takes POST / without a query')
  }
  const parameters = parseForm(request.headers['content-type']?.[0] ?? '', request.body)
  const action = parameters.get('Action')
  if (action === undefined) throw new AwsError(400, 'MissingAction', 'there is no Action')
  return {
    action: action.slice(0, 100),
    parameters,
    run() {
      const operation = Object.hasOwn(service.operations, action)
        ? service.operations[action as Action]
        : undefined
      const version = parameters.get('Version') ?? ''
      if (operation === undefined || version !== service.version) {
        const message = `Could not find operation ${action.slice(0, 100)} for version ${version.slice(0, 20)}`
        throw new AwsError(400, 'InvalidAction', message)
      }
      return resultAnswer(service, action, operation(account, caller, parameters), requestId)
    },
  }
}
