import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sleep } from '../../clock.ts'
import { StartupError } from '../../errors.ts'

const FAST_SHUTDOWN_MS = 10_000
const IMMEDIATE_SHUTDOWN_MS = 10_000
const POLL_MS = 20

export interface PostmasterFile {
  readonly pid: number
  /** `starting`, `ready`, `stopping`, `standby`. */
  readonly status: string
}

/** What the server says of itself. https://www.postgresql.org/docs/18/storage-file-layout.html */
export async function readPostmasterFile(dataFolder: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined
  return { pid, status: (lines[7] ?? '').trim() }
}

/** Ends a server that outlived the process that started it. */
export async function stopOrphan(dataFolder: string): Promise<void> {
  const pid = await runningPostmaster(dataFolder)
  if (pid !== undefined && !(await stopPostmaster(pid))) {
    throw new StartupError(`a PostgreSQL server (process ${pid}) runs on ${dataFolder} and does not stop`)
  }
}

export async function isServing(dataFolder: string): Promise<boolean> {
  return (await runningPostmaster(dataFolder)) !== undefined
}

async function runningPostmaster(dataFolder: string): Promise<number | undefined> {
  const file = await readPostmasterFile(dataFolder)
  return file !== undefined && (await isPostmasterOf(file.pid, dataFolder)) ? file.pid : undefined
}

/** A process id in a stale file may belong to anyone by now. */
async function isPostmasterOf(pid: number, dataFolder: string): Promise<boolean> {
  if (process.platform === 'linux') {
    const args = (await linuxCommandLine(pid)).split('\0')
    return (args[0] ?? '').endsWith('/postgres') && args.includes(dataFolder)
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }))
  return stdout.includes('/postgres ') && `${stdout.trim()} `.includes(` ${dataFolder} `)
}

async function linuxCommandLine(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
}

/** Fast, then immediate shutdown, then without mercy. False if it still runs after that. */
export async function stopPostmaster(pid: number): Promise<boolean> {
  if (!send(pid, 'SIGINT') || (await isGone(pid, FAST_SHUTDOWN_MS))) return true
  if (!send(pid, 'SIGQUIT') || (await isGone(pid, IMMEDIATE_SHUTDOWN_MS))) return true
  return !send(pid, 'SIGKILL') || (await isGone(pid, IMMEDIATE_SHUTDOWN_MS))
}

async function isGone(pid: number, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs
  while (performance.now() < deadline) {
    if (!send(pid, 0) || (await isZombie(pid))) return true
    await sleep(POLL_MS)
  }
  return false
}

/** An orphan's first process may never collect it: in a container that is any program. */
async function isZombie(pid: number): Promise<boolean> {
  return process.platform === 'linux' && (await linuxCommandLine(pid)) === ''
}

/** False if there is no such process any more. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
