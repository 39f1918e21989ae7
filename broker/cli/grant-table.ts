import type { Grant } from './api-types.ts'
import type { Column } from './table.ts'
import { roughTime } from './times.ts'

/** What a person should look at, if anything. */
function remark({ stuck, residue, lastError, deferredUntil }: Grant): string {
  if (stuck) return `stuck: ${lastError ?? 'cause unknown'}`
  if (residue !== null) return `residue: ${residue}`
  // A broker of an earlier release does not say.
  if (typeof deferredUntil === 'string') return `withdrawn, and lasts until ${deferredUntil}`
  return lastError ?? ''
}

export const GRANT_COLUMNS: readonly Column<Grant>[] = [
  { title: 'GRANT', value: ({ id }) => id, fit: 'keep' },
  { title: 'STATE', value: ({ state }) => state, fit: 'keep' },
  { title: 'ACCESS', value: ({ resource, access }) => `${resource}/${access}`, fit: 'cut' },
  { title: 'OVER', value: ({ revokedAt, expiresAt }) => roughTime(revokedAt ?? expiresAt), fit: 'keep' },
  { title: 'REMARK', value: remark, fit: 'cut' },
]

export const TASK_OF_GRANT: Column<Grant> = { title: 'TASK', value: ({ taskId }) => taskId, fit: 'drop' }
