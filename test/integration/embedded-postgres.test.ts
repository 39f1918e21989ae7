import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../broker/db/embedded-postgres.ts'
import { findPackage, prepareBinaries } from '../../broker/db/embedded/binaries.ts'
import { readPostmasterFile } from '../../broker/db/embedded/postmaster.ts'
import { findServerUser, runAsServer } from '../../broker/db/embedded/server-user.ts'
import { packageRoot } from '../../broker/package-root.ts'
import { Secret } from '../../broker/secret.ts'
import { connect } from '../support/postgres.ts'

const PASSWORD = 'correct horse/battery@staple'
const isRoot = process.getuid?.() === 0

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskgrant-embedded-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

function start(options: { port?: number; dataDir?: string } = {}): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    password: new Secret(PASSWORD),
    settings: { fsync: 'off' },
    ...options,
  })
}

async function query(server: EmbeddedPostgres, text: string): Promise<unknown> {
  const client = await connect(server.url('postgres').reveal())
  try {
    const { rows } = await client.query<Record<string, unknown>>(text)
    return Object.values(rows[0] ?? {})[0]
  } finally {
    await client.end()
  }
}

async function isAlive(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== ''
}

async function postmasterPid(): Promise<number> {
  const pid = (await readPostmasterFile(join(folder, 'data')))?.pid
  if (pid === undefined) throw new Error('no server runs')
  return pid
}

/** Another process that owns a server, from `dist/`: Node 20 runs no TypeScript. */
async function startOwner(): Promise<{ pid: number; kill(): Promise<void> }> {
  const built = (file: string): string => pathToFileURL(join(packageRoot(), 'dist/broker', file)).href
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(built('db/embedded-postgres.js'))}
    import { Secret } from ${JSON.stringify(built('secret.js'))}
    const dataDir = ${JSON.stringify(join(folder, 'data'))}
    await startEmbeddedPostgres({ dataDir, password: new Secret(${JSON.stringify(PASSWORD)}), settings: { fsync: 'off' } })
    setInterval(() => undefined, 1000)
    console.log('ready')`
  const owner = spawn(process.execPath, ['--input-type=module'], { stdio: ['pipe', 'pipe', 'inherit'] })
  owner.stdin.end(script)
  await once(owner.stdout, 'data')
  return {
    pid: owner.pid ?? 0,
    async kill() {
      owner.kill('SIGKILL')
      await once(owner, 'exit')
    },
  }
}

test('what was written is there after a restart', async () => {
  const first = await start()
  await query(first, 'create table note as select 42 as answer')
  await first.stop()
  await using second = await start()
  expect(await query(second, 'select answer from note')).toBe(42)
})

test('it is PostgreSQL 18 in UTF8 with locale C, and asks everyone for a password', async () => {
  await using server = await start()
  expect(await query(server, 'show server_version_num')).toMatch(/^18/)
  expect(await query(server, 'show server_encoding')).toBe('UTF8')
  expect(await query(server, 'select datcollate from pg_database limit 1')).toBe('C')
  const methods = `select string_agg(distinct auth_method, ',') from pg_hba_file_rules`
  expect(await query(server, methods)).toBe('scram-sha-256')
  const wrong = new URL(server.url('postgres').reveal())
  wrong.password = 'wrong'
  await expect(connect(wrong.href)).rejects.toThrow(/password authentication failed/)
})

test('it listens on 127.0.0.1 only', async () => {
  await using server = await start()
  expect(await query(server, 'show listen_addresses')).toBe('127.0.0.1')
  expect(await query(server, 'show unix_socket_directories')).toBe('')
})

test('the password is in no command line and in no file', async () => {
  await using server = await start()
  const client = await connect(server.url('postgres').reveal())
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const args = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    expect(args).not.toContain(PASSWORD)
  }
  await client.end()
  expect((await readdir(folder)).toSorted()).toEqual(['data'])
})

test('what a start that was killed half-way left does no harm and is removed', async () => {
  await chmod(folder, 0o711)
  await writeFile(join(folder, 'data.init-000000'), 'left by a start that was killed')
  await using server = await start()
  expect(server.port).toBeGreaterThan(0)
  expect(await readdir(folder)).toEqual(['data'])
})

test('a folder that holds something else is left alone', async () => {
  await writeFile(join(folder, 'thesis.txt'), 'years of work')
  await expect(start({ dataDir: folder })).rejects.toThrow(/holds no PostgreSQL data/)
  expect(await readdir(folder)).toEqual(['thesis.txt'])
})

test('a taken port is an error that quotes the server and not the password', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const error: unknown = await start({ port }).catch((reason: unknown) => reason)
  other.close()
  expect(error).toMatchObject({
    name: 'StartupError',
    message: expect.stringMatching(/Address already in use/) as string,
  })
  expect(String(error)).not.toContain(PASSWORD)
})

test('another password than the first is refused with the reason', async () => {
  await (await start()).stop()
  const second = startEmbeddedPostgres({ dataDir: join(folder, 'data'), password: new Secret('another') })
  await expect(second).rejects.toThrow(/refuses its own password/)
  await expect(postmasterPid()).rejects.toThrow('no server runs')
})

test('a server whose owner was killed ends by itself', async () => {
  const owner = await startOwner()
  const pid = await postmasterPid()
  await owner.kill()
  await vi.waitUntil(async () => !(await isAlive(pid)), { timeout: 5_000 })
  await expect(postmasterPid()).rejects.toThrow('no server runs')
})

test('a server that outlived its owner is taken over', async () => {
  const owner = await startOwner()
  const pid = await postmasterPid()
  // Its watchdog asks it to end; stopped, it cannot, and still runs when we come.
  process.kill(pid, 'SIGSTOP')
  await owner.kill()
  setTimeout(() => process.kill(pid, 'SIGCONT'), 500)
  await using server = await start()
  expect(await isAlive(pid)).toBe(false)
  expect(await query(server, 'select 1')).toBe(1)
})

test('a process id in a stale file is not ours to stop', async () => {
  await (await start()).stop()
  const stranger = spawn('sleep', ['60'])
  await writeFile(join(folder, 'data/postmaster.pid'), `${stranger.pid}\n${join(folder, 'data')}\n`)
  await using server = await start()
  expect(await query(server, 'select 1')).toBe(1)
  expect(stranger.exitCode ?? stranger.signalCode).toBe(null)
  stranger.kill()
})

test.runIf(isRoot)('as root it runs as another user, below a folder that only root can enter', async () => {
  await using server = await start()
  expect((await stat(folder)).mode & 0o777).toBe(0o700)
  expect((await lstat(join(folder, 'data'))).isSymbolicLink()).toBe(true)
  expect((await stat(`/proc/${await postmasterPid()}`)).uid).not.toBe(0)
  expect(await query(server, 'select 1')).toBe(1)
})

test.runIf(isRoot)('removing the folder that only root can enter removes what was in it', async () => {
  await (await start()).stop()
  const first = join(folder, 'data')
  await rm(first)
  await using server = await start()
  expect(await query(server, `select count(*)::int from pg_tables where schemaname = 'public'`)).toBe(0)
})

test('links to libraries and executable bits that npm did not bring are made, by several at once', async () => {
  const home = await copyOfPackage()
  const made = await Promise.all([1, 2, 3].map(async () => prepareBinaries(await findServerUser(), home)))
  for (const { postgres } of made) {
    expect(await runAsServer(await findServerUser(), postgres, ['--version'])).toMatchObject({ ok: true })
  }
  expect((await stat(join(home, 'native/bin/initdb'))).mode & 0o111).toBe(0o111)
  const library = join(home, 'native/lib/libpq.so.5')
  expect((await lstat(library)).isSymbolicLink()).toBe(true)
  // Below a folder of root's, they run from a copy.
  expect(made[0]?.postgres.startsWith(home)).toBe(!isRoot)
})

/** As npm unpacks it: without the links; and without the bits, as some archives do. */
async function copyOfPackage(): Promise<string> {
  const from = findPackage()
  const home = join(folder, 'package')
  await cp(join(from, 'package.json'), join(home, 'package.json'))
  await cp(join(from, 'native'), join(home, 'native'), {
    recursive: true,
    filter: async (source) => !source.endsWith('.a') && !(await lstat(source)).isSymbolicLink(),
  })
  await chmod(join(home, 'native/bin/initdb'), 0o644)
  return home
}
