import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { serverProcessOptions, type ServerUser } from './server-user.ts'

/**
 * `read` returns when the other end of its pipe closes: with our process, however that ends. It reads the process
 * id again then, since a server that stopped by itself may have left its number to a stranger.
 */
const SCRIPT = `
read -r line
is_running() { [ "$(head -n 1 "$2/postmaster.pid" 2>/dev/null)" = "$1" ]; }
is_running "$1" "$2" || exit 0
kill -s INT "$1"
for second in 1 2 3 4 5 6 7 8 9 10; do
  sleep 1
  is_running "$1" "$2" || exit 0
done
kill -s QUIT "$1"
`

/** Stops the server if our process dies without having done so. Costs a process that sleeps. */
export function watchOver(postmaster: number, dataFolder: string, user: ServerUser | undefined): Disposable {
  if (process.platform === 'win32') return { [Symbol.dispose]: () => undefined }
  const watcher = spawn(
    '/bin/sh',
    ['-c', SCRIPT, 'taskgrant-postgres-watchdog', String(postmaster), dataFolder],
    {
      ...serverProcessOptions(user),
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  )
  watcher.on('error', () => undefined)
  watcher.stdin.on('error', () => undefined)
  watcher.unref()
  const pipe = watcher.stdin as Socket
  pipe.unref()
  return {
    [Symbol.dispose]() {
      watcher.kill('SIGKILL')
    },
  }
}
