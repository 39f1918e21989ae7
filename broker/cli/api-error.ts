import { CliError } from './cli-error.ts'

/** The members of a problem that we read. https://www.rfc-editor.org/rfc/rfc9457 */
interface Problem {
  readonly title?: string
  readonly code?: string
  readonly detail?: string
  readonly errors?: readonly { readonly path: string; readonly message: string }[]
  readonly requestId?: string
}

export interface RefusedCall {
  readonly origin: string
  readonly status: number
  readonly contentType: string
  readonly retryAfter: string | undefined
  readonly text: string
}

/** The broker said no. */
export class ApiError extends CliError {
  readonly status: number
  readonly code: string | undefined

  constructor(message: string, options: { status: number; code?: string | undefined; hint?: string }) {
    super(message, options)
    this.name = 'ApiError'
    this.status = options.status
    this.code = options.code
  }
}

const WAY_OUT: Readonly<Record<string, string>> = {
  unauthenticated:
    'The token is missing, over, or made for another broker. Give a fresh one in TASKGRANT_TOKEN or --token-file.',
  denied:
    'The audit names the policies that decided: taskgrant audit tail --limit 20. Whoever writes the policies can allow it.',
  not_found:
    'Check the id: taskgrant tasks list, taskgrant grants list. Tasks of others are shown only to those whom policy lets read them.',
  task_not_open: 'Only an open task takes grants: taskgrant tasks list --state open.',
  not_renewable: 'Ask for a new grant in the same task instead.',
  store_unavailable: 'The broker runs but its database does not answer. Look at its logs and try again.',
  internal: "The broker's log has the cause under this request id.",
}

export function apiError(call: RefusedCall): ApiError {
  const problem = parseProblem(call)
  if (problem === undefined) {
    const hint =
      'Is this the URL of a taskgrant broker, or of a proxy in front of it? See --url and TASKGRANT_URL.'
    return new ApiError(`${call.origin} answered ${call.status} and no reason`, { status: call.status, hint })
  }
  const { code, title, detail, errors, requestId } = problem
  const lines = [`${detail ?? title ?? 'the broker refused'} (${code ?? call.status})`]
  for (const { path, message } of errors ?? []) lines.push(`  ${path === '' ? 'request' : path}: ${message}`)
  if (requestId !== undefined) lines.push(`  request id: ${requestId}`)
  const hint = hintOf(code, call)
  return new ApiError(lines.join('\n'), {
    status: call.status,
    code,
    ...(hint === undefined ? {} : { hint }),
  })
}

function hintOf(code: string | undefined, call: RefusedCall): string | undefined {
  const known = WAY_OUT[code ?? '']
  if (known !== undefined) return known
  return call.retryAfter === undefined ? undefined : `Try again in ${call.retryAfter} s.`
}

function parseProblem({ contentType, text }: RefusedCall): Problem | undefined {
  if (!/^application\/(problem\+)?json\b/i.test(contentType)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    // Every member is optional: an answer of something else shows little, and breaks nothing.
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
