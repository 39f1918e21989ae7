import { randomBytes } from 'node:crypto'
import { chown, lchown, lstat, mkdir, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { StartupError } from '../../errors.ts'
import type { Secret } from '../../secret.ts'
import { placeElsewhere } from './place-elsewhere.ts'
import { stopOrphan } from './postmaster.ts'
import { canEnter, runAsServer, type ServerUser } from './server-user.ts'

export interface DataFolderOptions {
  readonly dataDir: string
  readonly user: ServerUser | undefined
  readonly initdb: string
  readonly password: Secret<string>
  readonly sync: boolean
}

/**
 * A data folder that the server can start on, made if there is none; no server runs on it any more. Returns its
 * real path, which differs from `dataDir` where the server's user cannot enter that.
 *
 * @throws {StartupError}
 */
export async function prepareDataFolder(options: DataFolderOptions): Promise<string> {
  const folder = await placeFolder(resolve(options.dataDir), options.user)
  await stopOrphan(folder)
  await removeDrafts(folder)
  const content = await readdir(folder).catch((): string[] => [])
  if (content.length === 0) await initialise(folder, options)
  else if (!content.includes('PG_VERSION')) {
    throw new StartupError(
      `${options.dataDir} is not empty and holds no PostgreSQL data: choose another folder`,
    )
  } else if (options.user !== undefined) await giveTo(folder, options.user)
  return folder
}

async function placeFolder(wanted: string, user: ServerUser | undefined): Promise<string> {
  await mkdir(dirname(wanted), { recursive: true })
  const found = await lstat(wanted).catch(() => undefined)
  const real = found === undefined ? undefined : await realpath(wanted).catch(() => undefined)
  if (await canEnter(user, dirname(real ?? wanted))) {
    if (real !== undefined) return real
    // A link to what is gone.
    await rm(wanted, { force: true })
    return join(await realpath(dirname(wanted)), basename(wanted))
  }
  return placeElsewhere(wanted, real, user)
}

const DRAFT = '.init-'

/** What a start that was killed half-way left. */
async function removeDrafts(folder: string): Promise<void> {
  const parent = dirname(folder)
  for (const name of await readdir(parent)) {
    if (name.startsWith(`${basename(folder)}${DRAFT}`))
      await rm(join(parent, name), { recursive: true, force: true })
  }
}

/** Made beside its place and renamed: it is there as a whole, or not at all. */
async function initialise(folder: string, options: DataFolderOptions): Promise<void> {
  const draft = `${folder}${DRAFT}${randomBytes(6).toString('hex')}`
  await mkdir(draft, { mode: 0o700 })
  try {
    const data = join(draft, 'data')
    const passwordFile = join(draft, 'password')
    await writeFile(passwordFile, options.password.reveal(), { mode: 0o600, flag: 'wx' })
    if (options.user !== undefined) await giveTo(draft, options.user)
    const made = await runAsServer(options.user, options.initdb, [
      `--pgdata=${data}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-instructions',
      ...(options.sync ? [] : ['--no-sync']),
    ])
    if (!made.ok) throw new StartupError(`initdb failed: ${made.output.split('\n').slice(-10).join('\n')}`)
    await rm(folder, { recursive: true, force: true })
    await rename(data, folder)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

async function giveTo(path: string, user: ServerUser): Promise<void> {
  if ((await stat(path)).uid === user.uid) return
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    await lchown(join(entry.parentPath, entry.name), user.uid, user.gid)
  }
  // Last, for it says that the rest is done.
  await chown(path, user.uid, user.gid)
}
