import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import '../broker/policy/cedar-v8-flag.ts'
import { startDev } from '../broker/dev/start-dev.ts'
import { loadOrCreateDevIssuer } from '../broker/identity/dev-issuer.ts'
import { askApi, startInternalApi, type Certificate } from './demo/internal-api.ts'
import { signedGet, type SessionKeys } from './demo/signed-get.ts'
import { callBroker, outcomeOf, say, step, table } from './demo/telling.ts'

/**
 * The main job, told as a story: one task gets a database user, a certificate and an AWS session, and loses all three
 * when an administrator names it. Leaves nothing running.
 */
const home = await mkdtemp(join(tmpdir(), 'taskgrant-demo-'))
step('A broker starts, with its own PostgreSQL, an authority for certificates and an emulated AWS account')
const broker = await startDev({ home, port: 0, logLevel: 'error', progress: (line) => say(line) })
let stopApi = async (): Promise<void> => undefined
try {
  const issuer = await loadOrCreateDevIssuer(home)
  const tokenOf = (subject: string) => issuer.sign({ subject, use: 'workload', ttlSeconds: 300 })
  const agent = callBroker(broker.url, await tokenOf('mcp-orders'))
  const administrator = callBroker(broker.url, await tokenOf('admin-on-call'))

  step('A team runs an internal API: it wants client certificates, and gets its own from the broker too')
  const team = callBroker(broker.url, await tokenOf('mcp-internal-api'))
  const serving = await team('POST', '/v1/tasks', {
    purpose: 'serve the internal API',
    grants: [{ resource: 'internal-api', access: 'server', params: { dnsNames: ['localhost'] } }],
  })
  const [own] = serving['grants'] as { credential: Certificate }[]
  if (own === undefined) throw new Error('the API has no certificate')
  const api = await startInternalApi(broker.url, own.credential)
  stopApi = () => api.stop()
  say(`it listens at ${api.url.href}, and asks the broker ten times a second what was withdrawn`)

  step('The MCP server "mcp-orders" opens a task and asks for three credentials, all or nothing')
  const opened = await agent('POST', '/v1/tasks', {
    purpose: 'answer ticket 4711: where is the bicycle?',
    labels: { ticket: '4711' },
    ttlSeconds: 300,
    grants: [
      { resource: 'shop-db', access: 'read' },
      { resource: 'internal-api', access: 'client' },
      { resource: 'aws-demo', access: 'read' },
    ],
  })
  const task = opened['task'] as { id: string }
  const [database, certificate, session] = (opened['grants'] as { credential: unknown }[]).map(
    ({ credential }) => credential,
  ) as [
    { uri: string; username: string; expiresAt: string },
    Certificate,
    SessionKeys & { expiration: string },
  ]
  say(`task              ${task.id}`)
  say(`database user     ${database.username}, until ${database.expiresAt} by PostgreSQL's clock`)
  say(`certificate       ${certificate.spiffeId}`)
  say(`AWS session       ${session.accessKeyId}, until ${session.expiration} by AWS's clock`)

  const query = async (): Promise<string> => {
    const client = new pg.Client({ connectionString: database.uri })
    client.on('error', () => undefined)
    await client.connect()
    const { rows } = await client.query('select id, item, status from orders where id = 4711')
    await client.end()
    return JSON.stringify(rows[0])
  }
  const call = (): Promise<string> => askApi(api.url, certificate)
  const report = async (): Promise<string> => {
    const url = new URL('/reports/2026-01.csv', broker.awsUrl)
    const { status, text } = await signedGet(url, session)
    if (status !== 200) throw new Error(`${status} ${/<Code>(\w+)</.exec(text)?.[1] ?? text}`)
    return JSON.stringify(text)
  }
  const uses = [
    ['select * from orders where id = 4711', query],
    ['GET /stock with the certificate', call],
    ['GET s3://reports/2026-01.csv', report],
  ] as const

  step('It works with them')
  for (const [what, use] of uses) say(`${what.padEnd(38)} ->  ${await use()}`)

  step('It starts a long query. An administrator revokes the task by its id')
  const long = new pg.Client({ connectionString: database.uri })
  const died = new Promise<string>((resolve) => long.on('error', (error) => resolve(error.message)))
  await long.connect()
  const sleeping = outcomeOf(() => long.query('select pg_sleep(600)'))
  const started = performance.now()
  const revoked = await administrator('POST', `/v1/tasks/${task.id}/revoke`, {
    reason: 'ticket 4711 was closed',
  })
  say(`the task is ${String(revoked['state'])}, ${Math.round(performance.now() - started)} ms later`)
  say(`${'the long query'.padEnd(38)} ->  ${(await sleeping).text}`)
  say(`${'its session'.padEnd(38)} ->  ${await died}`)

  step('The three credentials open nothing any more')
  await delay(1_000)
  for (const [what, use] of uses) {
    const { worked, text } = await outcomeOf(use)
    say(`${what.padEnd(38)} ->  ${text}`)
    if (worked) {
      say('it still works: that must not be')
      process.exitCode = 1
    }
  }

  step('The trail: who, what, under which rule, and why')
  const trail = await administrator('GET', `/v1/tasks/${task.id}/trail`)
  table(trail['items'] as Parameters<typeof table>[0])
} finally {
  await stopApi()
  await broker.stop()
  await rm(home, { recursive: true, force: true })
}
step('Everything is stopped and removed. Try it yourself: npm start')
