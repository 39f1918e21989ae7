import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

export interface Ran {
  readonly code: number | null
  /** Standard output and standard error, in this order. */
  readonly output: string
}

/** Runs a program to its end, or kills it when its time is over. */
export async function runProgram(program: string, args: readonly string[], timeoutMs = 60_000): Promise<Ran> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const [out, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: child.exitCode, output: out + error }
}
