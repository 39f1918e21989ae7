import type { GrantRequest } from '../../broker/adapter.ts'

const MAX_TAG_VALUE = 256
const NO_TAG_CHARACTER = /[^\p{L}\p{Z}\p{N}_.:/=+\-@]/gu
const MAX_SOURCE_IDENTITY = 64
const MIN_SOURCE_IDENTITY = 2
const NO_SOURCE_IDENTITY_CHARACTER = /[^\w+=,.@-]/g

export interface Tag {
  readonly Key: string
  readonly Value: string
}

/**
 * What AWS may know about a session: CloudTrail shows it with AssumeRole, and policies can ask for it as
 * `aws:PrincipalTag/taskgrant:task`. https://docs.aws.amazon.com/STS/latest/APIReference/API_Tag.html
 */
export function sessionTags({ taskId, grantId, workloadId, storeId }: GrantRequest): Tag[] {
  const tags = { task: taskId, grant: grantId, workload: workloadId, store: storeId }
  return Object.entries(tags).map(([name, value]) => ({ Key: `taskgrant:${name}`, Value: tagValue(value) }))
}

/** CloudTrail shows it with everything that the session does, and sessions that it opens keep it. */
export function sourceIdentity({ taskId }: GrantRequest): string {
  const text = taskId.replaceAll(NO_SOURCE_IDENTITY_CHARACTER, '_').slice(0, MAX_SOURCE_IDENTITY)
  return text.padEnd(MIN_SOURCE_IDENTITY, '_')
}

function tagValue(text: string): string {
  let value = ''
  // By whole characters: half of one would be none that AWS takes.
  for (const character of text.replaceAll(NO_TAG_CHARACTER, '_')) {
    if (value.length + character.length > MAX_TAG_VALUE) break
    value += character
  }
  return value
}
