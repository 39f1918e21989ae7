import { lstat, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StartupError } from '../../errors.ts'
import { canEnter, type ServerUser } from './server-user.ts'

const FOLDER_MODE = 0o755
const WRITABLE_BY_OTHERS = 0o022

/**
 * A folder of ours that the server's user can enter, for what cannot stay where it is. Nobody else can write to
 * it, or have put it there.
 */
export async function sharedFolder(user: ServerUser | undefined): Promise<string> {
  const candidates = ['/var/lib/taskgrant', join(tmpdir(), `taskgrant-${process.getuid?.() ?? 'user'}`)]
  for (const folder of candidates) {
    if ((await isOurs(folder)) && (await canEnter(user, folder))) return folder
  }
  throw new StartupError(
    `the embedded PostgreSQL finds no folder that its user can enter (tried ${candidates.join(', ')}): ` +
      'start taskgrant as an ordinary user, or set store.url',
  )
}

async function isOurs(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: FOLDER_MODE })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false
  }
  const found = await lstat(folder)
  return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & WRITABLE_BY_OTHERS) === 0
}
