import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import pg from 'pg'
import { sleep } from '../../clock.ts'
import { StartupError, messageOf } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import { readPostmasterFile, stopPostmaster } from './postmaster.ts'
import { readServerLog, type ServerLog } from './server-log.ts'
import { serverProcessOptions, type ServerUser } from './server-user.ts'
import { watchOver } from './watchdog.ts'

export interface LaunchOptions {
  readonly postgres: string
  readonly dataFolder: string
  readonly user: ServerUser | undefined
  readonly port?: number
  readonly password: Secret<string>
  readonly settings?: Readonly<Record<string, string>>
  readonly onLog?: (line: string) => void
}

export interface Launched {
  readonly port: number
  url(database: string): Secret<string>
  stop(): Promise<void>
}

const HOST = '127.0.0.1'
const ATTEMPTS = 10
const RETRY_MS = 500
const POLL_MS = 20
/** Recovery after a crash reads all that was written since the last checkpoint. */
const READY_TIMEOUT_MS = 60_000

const SETTINGS: Readonly<Record<string, string>> = {
  max_connections: '200',
  // The text of a failed statement may hold a password.
  log_min_error_statement: 'panic',
}

/** Starts the server and waits until it answers. @throws {StartupError} */
export async function launch(options: LaunchOptions): Promise<Launched> {
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port || (await freePort())
    const running = run(options, port)
    const problem = await untilReady(running, options.dataFolder)
    if (problem === undefined) {
      const url = (database: string): Secret<string> => urlOf(options.password, port, database)
      await verifyLogin(url('postgres'), running)
      return { port, url, stop: running.stop }
    }
    await running.stop()
    if (!isPassing(running.log, options) || attempt === ATTEMPTS) throw problem
    await sleep(RETRY_MS)
  }
}

interface Running {
  readonly pid: number
  readonly log: ServerLog
  hasExited(): boolean
  stop(): Promise<void>
}

function run(options: LaunchOptions, port: number): Running {
  const settings = {
    ...SETTINGS,
    ...options.settings,
    listen_addresses: HOST,
    port: String(port),
    unix_socket_directories: '',
  }
  const assignments = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  // A group of its own: Ctrl-C in a terminal is for us, and we stop the server after what needs it.
  const server = spawn(options.postgres, ['-D', options.dataFolder, ...assignments], {
    ...serverProcessOptions(options.user),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  server.on('error', () => undefined)
  const { pid } = server
  if (pid === undefined) throw new StartupError('the embedded PostgreSQL cannot be started')
  const watchdog = watchOver(pid, options.dataFolder, options.user)
  const log = readServerLog(server.stderr, options.password, options.onLog)
  let exited = false
  server.once('exit', () => {
    exited = true
    watchdog[Symbol.dispose]()
  })
  // Neither keeps our process alive: the watchdog ends the server when we are done.
  server.unref()
  const pipe = server.stderr as Socket
  pipe.unref()
  async function stop(): Promise<void> {
    // Once it has exited, its number may be another's.
    if (!exited && pid !== undefined) await stopPostmaster(pid)
    watchdog[Symbol.dispose]()
  }
  return { pid, log, stop, hasExited: () => exited }
}

async function untilReady(running: Running, dataFolder: string): Promise<StartupError | undefined> {
  const deadline = performance.now() + READY_TIMEOUT_MS
  while (performance.now() < deadline) {
    const file = await readPostmasterFile(dataFolder)
    if (file?.pid === running.pid && file.status === 'ready') return undefined
    if (running.hasExited())
      return new StartupError(`the embedded PostgreSQL did not start:\n${running.log.tail()}`)
    await sleep(POLL_MS)
  }
  return new StartupError(`the embedded PostgreSQL was not ready in time:\n${running.log.tail()}`)
}

/** Someone took the free port first; or the last processes of a killed server are still leaving. */
function isPassing(log: ServerLog, options: LaunchOptions): boolean {
  if (log.includes('pre-existing shared memory block')) return true
  return !options.port && log.includes('could not bind')
}

async function verifyLogin(url: Secret<string>, running: Running): Promise<void> {
  const client = new pg.Client({ connectionString: url.reveal(), connectionTimeoutMillis: 10_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    await running.stop()
    throw new StartupError(`the embedded PostgreSQL refuses its own password: ${messageOf(error)}`, [], {
      cause: error,
    })
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, HOST)
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

function urlOf(password: Secret<string>, port: number, database: string): Secret<string> {
  const secret = encodeURIComponent(password.reveal())
  return new Secret(`postgresql://postgres:${secret}@${HOST}:${port}/${encodeURIComponent(database)}`)
}
