import { messageOf } from '../errors.ts'
import { CliError } from './cli-error.ts'

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** A call that got no answer. */
export class ConnectionError extends CliError {}

export function connectionError(error: unknown, origin: string): ConnectionError {
  const code = codeOf(error)
  const make = (message: string, hint: string): ConnectionError =>
    new ConnectionError(message, { hint, cause: error })
  if (code === 'ECONNREFUSED') {
    const hint =
      'Is it running? Start one with "taskgrant dev" or "taskgrant serve", or name another with --url.'
    return make(`nothing listens at ${origin}`, hint)
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return make(`the host of ${origin} is not known here`, 'Check --url and TASKGRANT_URL.')
  }
  if (UNTRUSTED.has(code)) {
    return make(
      `the certificate of ${origin} is of an authority that this machine does not trust (${code})`,
      "Name the authority's certificate with --ca FILE.",
    )
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return make(`the certificate of ${origin} is for another name`, 'Use the name that the certificate has.')
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) {
    return make(`${origin} does not speak TLS as we do`, 'Is it http:// and not https://?')
  }
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) {
    return make(
      `${origin} did not answer in time`,
      'What was asked may still happen. Look before you repeat it.',
    )
  }
  return make(`the call to ${origin} failed: ${messageOf(error)}`, 'Check --url and TASKGRANT_URL.')
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}
