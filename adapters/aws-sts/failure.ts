import { AdapterError, type AdapterFailure } from '../../broker/adapter.ts'

/** AWS's codes are words of its documentation; its messages may quote what was sent. */
const CODE = /^[A-Za-z.]{1,64}$/
const THROTTLED = /Throttl|^RequestLimitExceeded$|^TooManyRequests|^SlowDown$|^BandwidthLimitExceeded$/
const NOT_LET_IN =
  /^(ExpiredToken|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient|IncompleteSignature|MissingAuthenticationToken|InvalidAccessKeyId|InvalidSignature|RequestExpired)/
const NO_CREDENTIALS = /Credentials|TokenProvider|SSO/
/** Nothing was sent: there was no connection. */
const NOT_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EAI_FAIL|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EMFILE|ENFILE)$|CERT|ISSUER|SSL|TLS|SIGNATURE/

/** An error of AWS, or of the way to it. */
export class AwsFailure extends AdapterError {
  /** AWS's code, if AWS itself said no: `AccessDenied`, `LimitExceeded`. */
  readonly code: string | undefined
  /** Never shown. */
  readonly #answer: string

  constructor(
    failure: AdapterFailure,
    message: string,
    options: { settled: boolean; code?: string | undefined; answer?: string | undefined },
  ) {
    super(failure, message, { settled: options.settled })
    this.name = 'AwsFailure'
    this.code = options.code
    this.#answer = options.answer ?? ''
  }

  /** Does AWS's own message say this? */
  says(pattern: RegExp): boolean {
    return pattern.test(this.#answer)
  }

  /** The same in other words. */
  toldAs(message: string): AwsFailure {
    return new AwsFailure(this.failure, message, {
      settled: this.settled,
      code: this.code,
      answer: this.#answer,
    })
  }
}

export function timeIsOver(action: string): AwsFailure {
  return new AwsFailure('timeout', `AWS did not answer ${action} in time`, { settled: false })
}

export function refused(message: string): AwsFailure {
  return new AwsFailure('failed', message, { settled: true })
}

/** Could the attempt that ended with this error have taken effect? */
export function mayHaveTakenEffect(error: unknown): boolean {
  const { status, code, name } = partsOf(error)
  if (status !== undefined) return status >= 500 || status < 400
  return !NOT_CONNECTED.test(code) && !NO_CREDENTIALS.test(name)
}

/** @param unsettled an earlier attempt of the same call may have taken effect */
export function awsFailure(action: string, error: unknown, unsettled: boolean): AwsFailure {
  const { status, name, code: networkCode, answer } = partsOf(error)
  const settled = !unsettled && !mayHaveTakenEffect(error)
  if (status === undefined) return wayFailure(action, name, networkCode, settled)
  const code = name
  const told = code === undefined ? `HTTP ${status}` : code
  const options = { settled, code, answer }
  if (THROTTLED.test(told) || status === 429) {
    return new AwsFailure('unavailable', `AWS takes no more calls of ${action} for now (${told})`, options)
  }
  if (status >= 500 || status < 400) {
    return new AwsFailure('unavailable', `AWS could not answer ${action} (${told})`, options)
  }
  if (NOT_LET_IN.test(told)) {
    return new AwsFailure('failed', `AWS does not accept the credentials of the broker (${told})`, options)
  }
  return new AwsFailure('failed', `AWS refused ${action} (${told})`, options)
}

function wayFailure(action: string, name: string | undefined, code: string, settled: boolean): AwsFailure {
  if (NO_CREDENTIALS.test(name ?? '')) {
    return new AwsFailure('unavailable', 'there are no AWS credentials for the broker', { settled })
  }
  // Codes of Node.js and OpenSSL are ours to quote; messages are not.
  const why = /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'it does not answer'
  const certificate = /CERT|ISSUER|SSL|TLS|SIGNATURE/.test(code)
  const told = certificate ? `its certificate is not accepted (${why})` : why
  return new AwsFailure('unavailable', `AWS cannot be reached for ${action}: ${told}`, { settled })
}

interface ErrorParts {
  /** HTTP status; undefined if there was no answer. */
  readonly status: number | undefined
  /** AWS's code, or the name of an error of the SDK. */
  readonly name: string
  /** Of Node.js; empty if there is none. */
  readonly code: string
  readonly answer: string
}

function partsOf(error: unknown): ErrorParts {
  // Whatever the SDK throws is read as if it had none of these.
  const { name, message, code, Code, $metadata } = Object(error) as {
    readonly [key in 'name' | 'message' | 'code' | 'Code']?: unknown
  } & { readonly $metadata?: { readonly httpStatusCode?: unknown } }
  const status = $metadata?.httpStatusCode
  const said = typeof Code === 'string' ? Code : String(name)
  return {
    status: typeof status === 'number' ? status : undefined,
    name: CODE.test(said) ? said.replace(/Exception$/, '') : 'unknown',
    code: typeof code === 'string' ? code : '',
    answer: typeof message === 'string' ? message : '',
  }
}
