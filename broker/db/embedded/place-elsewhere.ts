import { createHash } from 'node:crypto'
import { cp, lstat, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { isServing, stopOrphan } from './postmaster.ts'
import type { ServerUser } from './server-user.ts'
import { sharedFolder } from './shared-folder.ts'

/** Beside each folder that was placed: the path of the link to it. */
const LINK_RECORD = '.link'

/** Gives `wanted` a folder that the server's user can enter, and makes a link of it. `existing` moves there. */
export async function placeElsewhere(
  wanted: string,
  existing: string | undefined,
  user: ServerUser | undefined,
): Promise<string> {
  const shared = await sharedFolder(user)
  await removeAbandoned(shared)
  const place = join(shared, createHash('sha256').update(wanted).digest('hex').slice(0, 16))
  // Nothing links to what an earlier start may have left there: whoever removed the link wanted it gone.
  await stopOrphan(place)
  await rm(place, { recursive: true, force: true })
  if (existing === undefined) await mkdir(place, { mode: 0o700 })
  else await move(existing, place)
  await rm(wanted, { recursive: true, force: true })
  await symlink(place, wanted)
  await writeFile(`${place}${LINK_RECORD}`, wanted)
  return place
}

async function move(from: string, to: string): Promise<void> {
  await stopOrphan(from)
  try {
    await rename(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
  }
}

/** Whoever removes a temporary folder removes its link only. Elsewhere a missing link may be a disk that is away. */
async function removeAbandoned(shared: string): Promise<void> {
  for (const name of await readdir(shared)) {
    if (!name.endsWith(LINK_RECORD)) continue
    const record = join(shared, name)
    const place = record.slice(0, -LINK_RECORD.length)
    const link = await readFile(record, 'utf8').catch(() => '')
    const isTemporary = link.startsWith(tmpdir() + sep)
    if (!isTemporary || (await lstat(link).catch(() => undefined)) !== undefined || (await isServing(place)))
      continue
    await rm(place, { recursive: true, force: true })
    await rm(record, { force: true })
  }
}
