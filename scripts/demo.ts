import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import '../broker/policy/cedar-v8-flag.ts'
import { startDev } from '../broker/dev/start-dev.ts'
import { loadOrCreateDevIssuer } from '../broker/identity/dev-issuer.ts'
import { callBroker, say, step, table } from './demo/telling.ts'

/** The main job, told as a story: a task gets a real database user, and loses it. Leaves nothing running. */
const home = await mkdtemp(join(tmpdir(), 'taskgrant-demo-'))
step('A broker starts, with its own PostgreSQL and a demo database')
const broker = await startDev({ home, port: 0, logLevel: 'error', progress: (line) => say(line) })
try {
  const issuer = await loadOrCreateDevIssuer(home)
  const tokenOf = (subject: string) => issuer.sign({ subject, use: 'workload', ttlSeconds: 300 })
  const agent = callBroker(broker.url, await tokenOf('mcp-orders'))
  const administrator = callBroker(broker.url, await tokenOf('admin-on-call'))

  step('The MCP server "mcp-orders" opens a task and asks for read access to shop-db')
  const opened = await agent('POST', '/v1/tasks', {
    purpose: 'answer ticket 4711: where is the bicycle?',
    labels: { ticket: '4711' },
    grants: [{ resource: 'shop-db', access: 'read', ttlSeconds: 300 }],
  })
  const task = opened['task'] as { id: string }
  const [minted] = opened['grants'] as { credential: { uri: string; username: string; expiresAt: string } }[]
  if (minted === undefined) throw new Error('no credential was minted')
  const { uri, username, expiresAt } = minted.credential
  say(`task       ${task.id}`)
  say(`its user   ${username}`)
  say(`until      ${expiresAt}, held by PostgreSQL itself`)

  step('It works with it')
  const session = new pg.Client({ connectionString: uri })
  const died = new Promise<string>((resolve) => session.on('error', (error) => resolve(error.message)))
  await session.connect()
  const found = await session.query('select id, item, status from orders where id = 4711')
  say(`select * from orders where id = 4711   ->  ${JSON.stringify(found.rows[0])}`)
  const refused = await session.query('delete from orders').then(
    () => 'done: that must not be',
    (error: Error) => error.message,
  )
  say(`delete from orders                     ->  ${refused}`)

  step('It starts a long query. An administrator revokes the task by its id')
  const query = session.query('select pg_sleep(600)').then(
    () => 'it went through: that must not be',
    (error: Error) => error.message,
  )
  const started = performance.now()
  const revoked = await administrator('POST', `/v1/tasks/${task.id}/revoke`, {
    reason: 'ticket 4711 was closed',
  })
  say(`the task is ${String(revoked['state'])}, ${Math.round(performance.now() - started)} ms later`)
  say(`the long query                         ->  ${await query}`)
  say(`its session                            ->  ${await died}`)

  step('The credential opens nothing any more')
  const late = new pg.Client({ connectionString: uri })
  const login = await late.connect().then(
    () => 'it still works: that must not be',
    (error: Error) => error.message,
  )
  say(`a new login                            ->  ${login}`)
  if (!/authentication failed|does not exist|not permitted/.test(login)) process.exitCode = 1

  step('The trail: who, what, under which rule, and why')
  const trail = await administrator('GET', `/v1/tasks/${task.id}/trail`)
  table(trail['items'] as Parameters<typeof table>[0])
} finally {
  await broker.stop()
  await rm(home, { recursive: true, force: true })
}
step('Everything is stopped and removed. Try it yourself: npm start')
