import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CliError } from './cli-error.ts'

export interface DevState {
  readonly home: string
  readonly url: URL
}

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]'])

/** Where `taskgrant dev` keeps its state. Nothing is made here: only `dev` does that. */
export function homeFolder(): string {
  return resolve(process.env['TASKGRANT_HOME'] ?? '.taskgrant')
}

/** The dev broker that runs in this home; undefined if none says so. */
export async function readDevState(home: string): Promise<DevState | undefined> {
  const file = join(home, 'dev.json')
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new CliError(`${file} cannot be read: ${error.message}`, { cause: error })
  })
  if (text === undefined) return undefined
  const { url, pid } = parseState(text, file)
  // The folder may have come with somebody's repository: a token must not follow it to another machine.
  if (!LOOPBACK.has(url.hostname)) throw new CliError(`${file} names another machine: ${url.origin}`)
  if (!isAlive(pid)) {
    // Its port may be another program's by now.
    throw new CliError(`the dev broker of ${home} (process ${pid}) is gone`, {
      hint: 'Start it again with "taskgrant dev", or name another broker with --url.',
    })
  }
  return { home, url }
}

function parseState(text: string, file: string): { url: URL; pid: number } {
  try {
    const { url, pid } = JSON.parse(text) as { url: string; pid: number }
    return { url: new URL(url), pid }
  } catch (error) {
    throw new CliError(`${file} is damaged`, {
      hint: 'Stop "taskgrant dev" and start it again.',
      cause: error,
    })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
