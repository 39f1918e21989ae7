/**
 * `spiffe://<trust domain>/task/<task>/<resource>/<access>`: who serves such a client sees which task it works on and
 * what it may do. https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#22-path
 */
export function spiffeIdOf(
  trustDomain: string,
  names: { readonly taskId: string; readonly resource: string; readonly access: string },
): string {
  const path = ['task', names.taskId, names.resource, names.access].map(segment).join('/')
  return `spiffe://${trustDomain}/${path}`
}

const MAX_SEGMENT = 128

/** Ids and names of ours are segments already; anything else loses what a segment cannot have. */
function segment(text: string): string {
  const kept = text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, MAX_SEGMENT)
  return /^\.*$/.test(kept) ? `_${kept}` : kept
}
