import type { Secret } from '../../broker/secret.ts'

type Json = Record<string, unknown>

let steps = 0

export function step(text: string): void {
  steps += 1
  console.log(`\n${steps}. ${text}`)
}

export function say(text: string): void {
  console.log(`   ${text}`)
}

/** Calls a broker as one workload. @throws {Error} with the problem that it answered */
export function callBroker(
  url: string,
  token: Secret<string>,
): (method: string, path: string, body?: unknown) => Promise<Json> {
  return async (method, path, body) => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { Authorization: `Bearer ${token.reveal()}`, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer = (await response.json()) as Json
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`)
    return answer
  }
}

/** What came of it, in words. */
export async function outcomeOf(work: () => Promise<unknown>): Promise<{ worked: boolean; text: string }> {
  return work().then(
    (result) => ({ worked: true, text: String(result) }),
    (error: unknown) => ({ worked: false, text: error instanceof Error ? error.message : String(error) }),
  )
}

interface Event {
  readonly type: string
  readonly performedBy: { readonly kind: string; readonly id?: string; readonly part?: string }
  readonly resource: string | null
  readonly access: string | null
  readonly policies: readonly string[] | null
  readonly reason: string | null
  readonly purpose: string | null
}

const COLUMNS: readonly [string, (event: Event) => string][] = [
  ['event', ({ type }) => type],
  ['by', ({ performedBy: { id, part, kind } }) => id ?? part ?? kind],
  ['on', ({ resource, access }) => (resource === null ? '' : `${resource}/${access ?? ''}`)],
  ['policies', ({ policies }) => (policies ?? []).join(', ')],
  ['why', ({ reason, purpose }) => reason ?? purpose ?? ''],
]

/** Events as aligned columns. */
export function table(events: readonly Event[]): void {
  const rows = [COLUMNS.map(([name]) => name), ...events.map((event) => COLUMNS.map(([, of]) => of(event)))]
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of rows)
    say(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
}
