import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { packageRoot } from '../../broker/package-root.ts'

const CLI = join(packageRoot(), 'dist', 'broker', 'cli', 'main.js')

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `taskgrant …` as a process of its own, from what `npm run build` made. */
export async function taskgrant(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  await once(child, 'close')
  return { ...output, code: child.exitCode }
}

export interface BrokerProcess extends AsyncDisposable {
  readonly url: string
  readonly process: ChildProcess
  /** Everything it wrote, log lines included. */
  readonly output: () => string
  kill(signal: NodeJS.Signals): Promise<number | null>
}

/** Starts `taskgrant serve` and waits until it serves. */
export async function startBrokerProcess(
  configFile: string,
  env: NodeJS.ProcessEnv = {},
): Promise<BrokerProcess> {
  const child = spawn(process.execPath, [CLI, 'serve', '-c', configFile], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  let output = ''
  const closed = once(child, 'close')
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(child.stderr).on('line', (line) => {
      output += `${line}\n`
      const found = /"url":"(http[^"]+)"/.exec(line)?.[1]
      if (found !== undefined && line.includes('"serving"')) resolve(found)
    })
    child.once('close', () => reject(new Error(`the broker ended at start:\n${output}`)))
  })
  const kill = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await closed
    return child.exitCode
  }
  return {
    url,
    process: child,
    output: () => output,
    kill,
    async [Symbol.asyncDispose]() {
      await kill('SIGKILL')
    },
  }
}
