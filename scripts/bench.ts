import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { arch, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:net'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { stringify } from 'yaml'
import { startAwsDemo } from '../broker/dev/aws-demo.ts'
import { startEmbeddedPostgres } from '../broker/db/embedded-postgres.ts'
import { ensureDatabase } from '../broker/db/ensure-database.ts'
import { loadOrCreateDevIssuer } from '../broker/identity/dev-issuer.ts'
import { packageRoot } from '../broker/package-root.ts'
import { Secret } from '../broker/secret.ts'
import { benchCertificates } from './bench/certificates.ts'
import { benchEnd, benchReap } from './bench/ending.ts'
import { benchIssue } from './bench/issuing.ts'
import { poster } from './bench/load.ts'
import { benchSessions } from './bench/sessions.ts'

/**
 * Measures the broker beside its baseline in the same run: absolute figures are those of this machine, ratios carry
 * over. `npm run bench`; `npm run bench -- --quick` for a short look, `--only certificates` for a part of it.
 */
const { quick = false, only } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' } },
}).values
const folder = await mkdtemp(join(tmpdir(), 'taskgrant-bench-'))
const postgres = await startEmbeddedPostgres({
  dataDir: join(folder, 'postgres'),
  password: new Secret('bench'),
  settings: { max_connections: '200' },
})
const aws = await startAwsDemo()
let broker: ChildProcess | undefined
try {
  await Promise.all(['store', 'shop'].map((name) => ensureDatabase(postgres.url('postgres'), name)))
  const shop = new pg.Pool({ connectionString: postgres.url('shop').reveal(), max: 64 })
  // When a measurement fails, its error is what should be seen, not that of an idle connection.
  shop.on('error', () => undefined)
  await shop.query('create role shop_reader nologin')
  const issuer = await loadOrCreateDevIssuer(folder)
  await mkdir(join(folder, 'policies'))
  await writeFile(join(folder, 'policies', 'all.cedar'), '@id("all") permit (principal, action, resource);')
  const resource = (scramIterations: number): object => ({
    adapter: 'postgres',
    admin: postgres.url('shop').reveal(),
    scramIterations,
    poolSize: 32,
    access: { read: { memberOf: 'shop_reader', maxTtl: '1h' } },
  })
  const configFile = join(folder, 'taskgrant.yaml')
  const port = await freePort()
  const { issuer: name, jwksFile } = issuer
  await writeFile(
    configFile,
    stringify({
      listen: { port },
      log: { level: 'warn' },
      store: { url: postgres.url('store').reveal(), poolSize: 40 },
      issuers: [{ issuer: name, jwksFile, audience: 'taskgrant', workload: { id: 'sub' } }],
      policies: './policies',
      resources: {
        'db-1': resource(1),
        'db-4096': resource(4096),
        api: {
          adapter: 'x509',
          trustDomain: 'bench.example.com',
          ca: { createdInFolder: './ca' },
          access: { client: {} },
        },
        aws: aws.resource,
      },
    }),
  )
  broker = fork(join(packageRoot(), 'dist/broker/cli/main.js'), ['serve', '-c', configFile], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const url = `http://127.0.0.1:${port}`
  await untilLive(url)
  const token = await issuer.sign({ subject: 'mcp-bench', use: 'workload', ttlSeconds: 3600 })
  using post = poster(url, token.reveal(), 64)

  console.log(
    `taskgrant bench: Node ${process.version}, PostgreSQL 18 embedded, ${cpus().length} cores, ${arch()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
  )
  console.log('The broker, its store, the backend and the load share this machine.\n')
  const parts = {
    issuing: () => benchIssue(post, shop, quick),
    certificates: () => benchCertificates(post, quick),
    sessions: () => benchSessions(post, aws, quick),
    ending: () => benchEnd(post, shop, quick),
    reaping: () => benchReap(post, postgres.url('store'), shop, quick),
  }
  for (const [part, measurePart] of Object.entries(parts)) {
    if (only === undefined || only === part) await measurePart()
  }

  broker.kill('SIGTERM')
  await once(broker, 'exit')
  await shop.end()
} finally {
  // When a measurement fails, its error ends this process, and a broker that goes on would keep it from that.
  broker?.kill('SIGKILL')
  await aws.emulator.close()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}

async function untilLive(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const live = await fetch(new URL('/livez', url)).then(
      ({ ok }) => ok,
      () => false,
    )
    if (live) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the broker does not start')
}
