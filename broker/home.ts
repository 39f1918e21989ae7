import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join, resolve } from 'node:path'
import { Secret } from './secret.ts'

/** `$TASKGRANT_HOME`, by default `.taskgrant` in the current folder: what an embedded broker keeps between starts. */
export async function openHome(): Promise<string> {
  const home = resolve(process.env['TASKGRANT_HOME'] ?? '.taskgrant')
  await mkdir(home, { recursive: true, mode: 0o700 })
  return home
}

/** Writes a file that only its owner can read, at once or not at all. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, path)
}

/** The password of the embedded Postgres; made on first use. */
export async function embeddedPassword(home: string): Promise<Secret<string>> {
  const path = join(home, 'postgres-password')
  const kept = await readFile(path, 'utf8').catch(() => undefined)
  if (kept !== undefined) return new Secret(kept)
  const fresh = randomBytes(24).toString('base64url')
  await writePrivateFile(path, fresh)
  return new Secret(fresh)
}
