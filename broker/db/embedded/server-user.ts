import { execFile, type ExecFileOptions } from 'node:child_process'
import { promisify } from 'node:util'
import { StartupError } from '../../errors.ts'

const execute = promisify(execFile)

/** Whom the server runs as, if not as ourselves. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

const CANDIDATES = ['postgres', 'nobody']

/** PostgreSQL refuses to run as root: root lends it another user of this machine. Creates none. */
export async function findServerUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of CANDIDATES) {
    const uid = await identity('-u', name)
    const gid = await identity('-g', name)
    if (uid !== undefined && gid !== undefined && uid !== 0) return { uid, gid }
  }
  throw new StartupError(
    'PostgreSQL does not run as root, and this machine has neither a user "postgres" nor "nobody" to lend it: ' +
      'start taskgrant as an ordinary user, or set store.url',
  )
}

async function identity(option: '-u' | '-g', name: string): Promise<number | undefined> {
  try {
    const { stdout } = await execute('id', [option, name])
    return Number(stdout)
  } catch {
    return undefined
  }
}

/** How every process of the server starts: as its user, with nothing of our environment, which may hold secrets. */
export function serverProcessOptions(user: ServerUser | undefined): ExecFileOptions {
  const { PATH, SystemRoot } = process.env
  return {
    ...user,
    // Our own folder may be one that this user cannot enter.
    cwd: process.platform === 'win32' ? undefined : '/',
    env: { PATH, SystemRoot, LC_ALL: 'C' },
  }
}

export async function runAsServer(
  user: ServerUser | undefined,
  file: string,
  args: readonly string[],
): Promise<{ ok: boolean; output: string }> {
  try {
    const { stdout, stderr } = await execute(file, args, { ...serverProcessOptions(user), encoding: 'utf8' })
    return { ok: true, output: stdout + stderr }
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { stdout?: string; stderr?: string }
    const output = `${stdout ?? ''}${stderr ?? ''}`.trim()
    return { ok: false, output: output === '' ? message : output }
  }
}

/** Asked of the kernel rather than computed from mode bits, which do not know of ACLs. */
export async function canEnter(user: ServerUser | undefined, folder: string): Promise<boolean> {
  if (user === undefined) return true
  return (await runAsServer(user, 'test', ['-x', folder])).ok
}
