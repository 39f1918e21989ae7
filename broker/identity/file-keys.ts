import { readFileSync, statSync } from 'node:fs'
import { createLocalJWKSet, type JWTVerifyGetKey } from 'jose'
import { messageOf } from '../errors.ts'
import { publicJwks } from './public-jwks.ts'

const CHECK_INTERVAL_MS = 1_000
const MAX_BYTES = 1_048_576

interface Loaded {
  readonly version: string
  readonly findKey: JWTVerifyGetKey
}

/**
 * Keys from a file, which is read again when it has changed: looked at once a second at most, and only when a token
 * asks. A file that is broken or gone leaves the keys as they are.
 *
 * @throws {Error} when it is not usable at first
 */
export function fileKeys(path: string, onProblem: (message: string) => void): JWTVerifyGetKey {
  let loaded = load(path, versionOf(path))
  let checkedAt = performance.now()
  let lastProblem: string | undefined

  const refresh = (): void => {
    try {
      const version = versionOf(path)
      if (version !== loaded.version) loaded = load(path, version)
      lastProblem = undefined
    } catch (error) {
      const problem = messageOf(error)
      if (problem !== lastProblem) onProblem(problem)
      lastProblem = problem
    }
  }

  return (header, token) => {
    if (performance.now() - checkedAt >= CHECK_INTERVAL_MS) {
      checkedAt = performance.now()
      refresh()
    }
    return loaded.findKey(header, token)
  }
}

function versionOf(path: string): string {
  const { mtimeNs, size, ino } = statSync(path, { bigint: true })
  if (size > MAX_BYTES) throw new Error(`${path} is larger than ${MAX_BYTES} bytes`)
  return `${mtimeNs} ${size} ${ino}`
}

// `version` is taken before the read: a change in between is noticed the next time.
function load(path: string, version: string): Loaded {
  const parsed = publicJwks.safeParse(parse(path, readFileSync(path, 'utf8')))
  if (parsed.success) return { version, findKey: createLocalJWKSet(parsed.data) }
  const [issue] = parsed.error.issues
  throw new Error(`${path} is not a set of public keys: ${issue?.path.join('.')} ${issue?.message}`)
}

// V8 quotes what it could not parse, and a private key may have been put here by mistake.
function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${path} is not valid JSON`)
  }
}
