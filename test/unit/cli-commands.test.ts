import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { packageRoot } from '../../broker/package-root.ts'
import { startHttpStub } from '../support/http-stub.ts'

const TASK = '0192f0c1-0000-7000-8000-000000000001'
const GRANT = '0192f0c1-0000-7000-8000-000000000002'

const task = {
  id: TASK,
  key: null,
  purpose: 'answer\u001b[2J ticket',
  state: 'open',
  workload: { id: 'mcp-orders', issuer: 'https://idp.example.com', subject: 'mcp-orders' },
  onBehalfOf: null,
  actors: [],
  labels: {},
  parentTaskId: null,
  createdAt: '2026-01-31T12:00:00.000Z',
  expiresAt: '2026-01-31T12:15:00.000Z',
  endedAt: null,
  endReason: null,
}

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'taskgrant-cli-'))
})

afterEach(async () => {
  await rm(home, { recursive: true, force: true })
})

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** From `dist/`, as users have it. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const main = join(packageRoot(), 'dist/broker/cli/main.js')
  const { PATH = '' } = process.env
  const options = { env: { PATH, TASKGRANT_HOME: home, TASKGRANT_TOKEN: 'a.b.c', ...env } }
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

function claimsOf(token: string): Record<string, unknown> {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  return JSON.parse(payload) as Record<string, unknown>
}

function subjectOf(authorization = ''): unknown {
  return claimsOf(authorization.slice('Bearer '.length))['sub']
}

test('a list is a table for people, and whole JSON for programs', async () => {
  await using stub = await startHttpStub(() => ({ body: { items: [task], next: TASK } }))
  const env = { TASKGRANT_URL: stub.url }
  const table = await run(['tasks', 'list', '--state', 'open', '--limit', '1'], env)
  expect(table).toMatchObject({ code: 0 })
  expect(table.stdout).toMatch(/^TASK +STATE +OVER +WORKLOAD +PURPOSE/)
  expect(table.stdout).toContain(`${TASK}  open`)
  expect(table.stdout).not.toContain('\u001b')
  expect(table.stderr).toContain(`--after ${TASK}`)
  expect(stub.requests[0]?.url).toBe('/v1/tasks?state=open&limit=1')
  const json = await run(['tasks', 'list', '--limit', '1', '--json'], env)
  expect(JSON.parse(json.stdout)).toEqual({ items: [task], next: TASK })
})

test('a task that has ended is success, and one that has not is a failure that names what is open', async () => {
  await using ended = await startHttpStub(() => ({
    body: { task: { ...task, state: 'ended', endReason: 'ended' }, state: 'ended', outstanding: [] },
  }))
  expect(await run(['tasks', 'end', TASK, '--url', ended.url])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Its credentials are withdrawn') as string,
  })
  const open = {
    grantId: GRANT,
    resource: 'shop-db',
    state: 'revoking',
    lastError: 'the backend cannot be reached',
  }
  const until = '2026-01-20T10:00:00.000Z'
  const lasting = { ...open, resource: 'internal-api', lastError: null, deferredUntil: until }
  await using ending = await startHttpStub(() => ({
    status: 202,
    body: { task: { ...task, state: 'ending' }, state: 'ending', outstanding: [open, lasting] },
  }))
  const args = ['tasks', 'revoke', TASK, '--reason', 'incident 42', '--wait', '5s']
  const ran = await run([...args, '--url', ending.url])
  expect(ran.code).toBe(1)
  expect(ran.stdout).toMatch(new RegExp(`${GRANT} +shop-db +revoking +the backend cannot be reached`))
  expect(ran.stdout).toMatch(/internal-api +revoking +cannot be withdrawn: lasts until 2026-01-20T10:00/)
  expect(ending.requests[0]).toMatchObject({
    url: `/v1/tasks/${TASK}/revoke?waitSeconds=5`,
    body: '{"reason":"incident 42"}',
  })
})

test.each([
  ['no such command', ['nonsense']],
  ['no such option', ['tasks', 'list', '--token', 'secret']],
  ['a missing argument', ['tasks', 'show']],
  ['an id that is none', ['tasks', 'show', '../../x']],
  ['a revocation without a reason', ['tasks', 'revoke', TASK]],
  ['a revocation of nothing', ['revocations', 'create', '--reason', 'r']],
  ['a revocation of two things', ['revocations', 'create', '--all', '--resource', 'x', '--reason', 'r']],
  ['a number that is none', ['audit', 'tail', '--limit', 'many']],
])('%s exits with 2', async (_name, args) => {
  const ran = await run(args, { TASKGRANT_URL: 'http://127.0.0.1:1' })
  expect(ran.code).toBe(2)
  expect(ran.stderr).toMatch(/^error: /)
})

test('a refusal exits with 1 and has nothing on standard output', async () => {
  await using stub = await startHttpStub(() => ({
    status: 403,
    headers: { 'content-type': 'application/problem+json' },
    body: { code: 'denied', title: 'Policy does not allow this', status: 403 },
  }))
  const ran = await run(['audit', 'tail', '--url', stub.url])
  expect(ran).toMatchObject({ code: 1, stdout: '' })
  expect(ran.stderr).toMatch(/^taskgrant: Policy does not allow this \(denied\)/)
})

test('a token file is read, and its line break dropped', async () => {
  await using stub = await startHttpStub(() => ({ body: { items: [], next: null } }))
  const file = join(home, 'token')
  await writeFile(file, 'from.a.file\n')
  expect(await run(['tasks', 'list', '--url', stub.url, '--token-file', file])).toMatchObject({ code: 0 })
  expect(stub.requests[0]?.headers.authorization).toBe('Bearer from.a.file')
})

test('without a broker it says how to get one', async () => {
  const ran = await run(['tasks', 'list'])
  expect(ran).toMatchObject({ code: 1, stdout: '' })
  expect(ran.stderr).toMatch(/taskgrant dev.*--url/)
})

test('a token does not follow a dev.json to another machine', async () => {
  await mkdir(home, { recursive: true })
  const state = { url: 'https://attacker.example.com', pid: process.pid }
  await writeFile(join(home, 'dev.json'), JSON.stringify(state))
  const ran = await run(['tasks', 'list'])
  expect(ran.code).toBe(1)
  expect(ran.stderr).toMatch(/names another machine/)
})

test('with the dev broker of its home, a command is admin-cli, or whom --as names', async () => {
  await using stub = await startHttpStub(() => ({ body: { items: [], next: null } }))
  await writeFile(join(home, 'dev.json'), JSON.stringify({ url: stub.url, pid: process.pid }))
  const noToken = { TASKGRANT_TOKEN: '' }
  expect(await run(['tasks', 'list'], noToken)).toMatchObject({ code: 0 })
  expect(await run(['tasks', 'list', '--url', `${stub.url}/`], noToken)).toMatchObject({ code: 0 })
  expect(await run(['resources', 'list', '--as', 'mcp-orders'])).toMatchObject({ code: 0 })
  expect(stub.requests.map(({ headers }) => subjectOf(headers.authorization))).toEqual([
    'admin-cli',
    'admin-cli',
    'mcp-orders',
  ])
})

test('a token of the dev broker is not given to another', async () => {
  await using stub = await startHttpStub(() => ({ body: { items: [], next: null } }))
  await writeFile(join(home, 'dev.json'), JSON.stringify({ url: 'http://127.0.0.1:1', pid: process.pid }))
  const ran = await run(['tasks', 'list', '--url', stub.url], { TASKGRANT_TOKEN: '' })
  expect(ran.code).toBe(1)
  expect(ran.stderr).toMatch(/wants a token/)
  expect(await run(['tasks', 'list', '--url', stub.url, '--as', 'x'])).toMatchObject({ code: 1 })
  expect(stub.requests).toEqual([])
})

test('a token can be asked for whatever name and groups', async () => {
  const ran = await run(['token', '--as', 'mcp-orders', '--group', 'a', '--group', 'b', '--ttl', '1h'])
  expect(ran).toMatchObject({ code: 0, stderr: '' })
  const claims = claimsOf(ran.stdout.trim())
  expect(claims).toMatchObject({ sub: 'mcp-orders', groups: ['a', 'b'] })
  expect(Number(claims['exp']) - Number(claims['iat'])).toBe(3600)
})

test('a token without any dev broker makes no state', async () => {
  const ran = await run(['token', '--as', 'mcp-orders'], { TASKGRANT_HOME: join(home, 'none') })
  expect(ran).toMatchObject({ code: 1, stdout: '' })
  expect(ran.stderr).toMatch(/no dev broker's state/)
})

test('every event of the audit is one line of JSON', async () => {
  const event = {
    id: 1,
    seq: 1,
    occurredAt: task.createdAt,
    type: 'task.opened',
    purpose: 'a\u0085b',
    taskId: TASK,
  }
  await using stub = await startHttpStub(({ url }) => {
    const isAfter = Number(new URL(url, 'http://stub').searchParams.get('after') ?? 0) >= 1
    return { body: { items: isAfter ? [] : [event], next: null } }
  })
  const ran = await run(['audit', 'tail', '--url', stub.url, '--json'])
  expect(
    ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([event])
})
