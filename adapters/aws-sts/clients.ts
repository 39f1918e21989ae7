import { IAMClient } from '@aws-sdk/client-iam'
import { STSClient } from '@aws-sdk/client-sts'
import type { AwsClock } from './aws-clock.ts'
import type { Bounds } from './bounds.ts'
import { awsFailure, AwsFailure, mayHaveTakenEffect, timeIsOver } from './failure.ts'
import type { Settings } from './settings.ts'
import { withoutVersionWarning } from './version-warning.ts'

/** One connection or request that hangs leaves time for another attempt within any call. */
const CONNECTION_TIMEOUT_MS = 2_000
const REQUEST_TIMEOUT_MS = 4_000

interface SendOptions {
  readonly abortSignal: AbortSignal
}

/** The services that we call. Each has connections of its own, so that granting cannot hold up withdrawing. */
export interface Aws {
  readonly clock: AwsClock
  /** One call, with repetitions of what failed in passing. `action` is how errors name it. @throws {AwsFailure} */
  sts<T>(
    action: string,
    bounds: Bounds,
    send: (client: STSClient, options: SendOptions) => Promise<T>,
  ): Promise<T>
  /** @throws {AwsFailure} */
  iam<T>(
    action: string,
    bounds: Bounds,
    send: (client: IAMClient, options: SendOptions) => Promise<T>,
  ): Promise<T>
  close(): void
}

export function openAws(settings: Settings, clock: AwsClock): Aws {
  const attempts = watchAttempts()
  const config = (endpoint: string | undefined) => ({
    region: settings.region,
    maxAttempts: settings.maxAttempts,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...credentialsOf(settings),
  })
  const sts = withoutVersionWarning(() => new STSClient(config(settings.stsEndpoint ?? settings.endpoint)))
  const iam = withoutVersionWarning(() => new IAMClient(config(settings.iamEndpoint ?? settings.endpoint)))
  // What we put into them has nothing to do with what the services are asked.
  for (const stack of [sts.middlewareStack, iam.middlewareStack as unknown as Stack]) {
    stack.add(readDate(clock), { step: 'deserialize', priority: 'low', name: 'readDate' })
    stack.addRelativeTo(attempts.middleware, {
      relation: 'after',
      toMiddleware: 'retryMiddleware',
      name: 'watchAttempts',
    })
  }

  async function call<T>(
    action: string,
    { signal }: Bounds,
    send: (options: SendOptions) => Promise<T>,
  ): Promise<T> {
    if (signal.aborted) throw new AwsFailure('timeout', `${action} was not begun in time`, { settled: true })
    try {
      return await unlessAborted(signal, send({ abortSignal: signal }))
    } catch (error) {
      if (signal.aborted) throw timeIsOver(action)
      throw awsFailure(action, error, attempts.isUnsettled(error))
    }
  }

  return {
    clock,
    sts: (action, bounds, send) => call(action, bounds, (options) => send(sts, options)),
    iam: (action, bounds, send) => call(action, bounds, (options) => send(iam, options)),
    close() {
      sts.destroy()
      iam.destroy()
    },
  }
}

/** Left out: the SDK looks where it always does, such as the environment, profiles and the machine's own role. */
function credentialsOf({ credentials }: Settings): object {
  if (credentials === undefined) return {}
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  return {
    credentials: {
      accessKeyId,
      secretAccessKey: secretAccessKey.reveal(),
      ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
    },
  }
}

type Stack = STSClient['middlewareStack']
type Next = (args: never) => Promise<unknown>

/** Closest to the wire, where also answers that are errors have not become one. */
function readDate(clock: AwsClock) {
  return <Handler extends Next>(next: Handler): Handler =>
    (async (args) => {
      const sentMs = clock.local()
      const result = await next(args)
      const { response } = result as { readonly response?: { readonly headers?: Record<string, string> } }
      clock.learn(response?.headers?.['date'], sentMs)
      return result
    }) as Handler
}

/**
 * The SDK reports the last attempt of a call only. That one may be a plain no, after another whose answer was lost
 * and which took effect.
 */
function watchAttempts() {
  const unsettled = new WeakSet<object>()
  const calls = new WeakSet<object>()
  return {
    isUnsettled: (error: unknown) => unsettled.has(Object(error)),
    middleware: <Handler extends Next>(next: Handler, context: object): Handler =>
      (async (args) => {
        try {
          return await next(args)
        } catch (error) {
          if (calls.has(context)) unsettled.add(Object(error))
          if (mayHaveTakenEffect(error)) calls.add(context)
          // The SDK takes it for "too many calls", and repeats it. IAM says by it that a role is full.
          if (error instanceof Error && error.name === 'LimitExceededException') error.name = 'LimitExceeded'
          throw error
        }
      }) as Handler,
  }
}

/** The SDK may take a while to notice, or not notice at all while it looks for credentials. */
async function unlessAborted<T>(signal: AbortSignal, running: Promise<T>): Promise<T> {
  let onAbort = (): void => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(new Error('aborted'))
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([running, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
