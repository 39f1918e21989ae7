import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseConfig } from '../config.ts'
import { startEmbeddedPostgres } from '../db/embedded-postgres.ts'
import { ensureDatabase } from '../db/ensure-database.ts'
import { StartupError } from '../errors.ts'
import { embeddedPassword, writePrivateFile } from '../home.ts'
import { loadOrCreateDevIssuer } from '../identity/dev-issuer.ts'
import type { LogLevel } from '../logger.ts'
import { adapterKinds, startBroker } from '../main.ts'
import { DEV_POLICIES } from '../policy/dev-policies.ts'
import type { Secret } from '../secret.ts'
import { startAwsDemo, type AwsDemo } from './aws-demo.ts'
import { setUpShop } from './shop.ts'

export interface DevOptions {
  readonly home: string
  readonly port: number
  readonly logLevel: LogLevel
  /** Told what is happening, one short line at a time. */
  readonly progress: (line: string) => void
}

export interface DevBroker {
  readonly url: string
  /** Of the emulated AWS account. */
  readonly awsUrl: string
  stop(): Promise<void>
}

const STORE = 'taskgrant'

/**
 * Starts a broker with all it needs: its own Postgres, a demo database, an authority, an emulated AWS account, an issuer
 * and policies. @throws {StartupError}
 */
export async function startDev({ home, port, logLevel, progress }: DevOptions): Promise<DevBroker> {
  const stateFile = join(home, 'dev.json')
  await refuseSecond(stateFile)
  progress('starting the embedded PostgreSQL')
  const postgres = await startEmbeddedPostgres({
    dataDir: join(home, 'postgres'),
    password: await embeddedPassword(home),
  })
  let aws: AwsDemo | undefined
  try {
    progress('setting up the demo database shop-db')
    await ensureDatabase(postgres.url('postgres'), STORE)
    const storeUrl = postgres.url(STORE)
    const shopAdmin = await setUpShop((database) => postgres.url(database))
    progress('starting the emulated AWS account of aws-demo')
    aws = await startAwsDemo()
    const { emulator } = aws
    const issuer = await loadOrCreateDevIssuer(home)
    const policies = join(home, 'policies')
    await writePolicies(policies)
    progress('starting the broker')
    const config = await parseConfig(devConfig(port, logLevel, shopAdmin, policies, aws), adapterKinds, home)
    const broker = await startBroker({ config: { ...config, issuers: [issuer.settings()] }, storeUrl })
    const state = {
      url: broker.url,
      pid: process.pid,
      storeUrl: storeUrl.reveal(),
      shopUrl: postgres.url('shop').reveal(),
      awsUrl: emulator.url,
    }
    await writePrivateFile(stateFile, `${JSON.stringify(state, null, 2)}\n`)
    return {
      url: broker.url,
      awsUrl: emulator.url,
      async stop() {
        await rm(stateFile, { force: true })
        await broker.stop()
        await emulator.close()
        await postgres.stop()
      },
    }
  } catch (error) {
    await aws?.emulator.close()
    await postgres.stop()
    throw error
  }
}

function devConfig(
  port: number,
  level: LogLevel,
  shopAdmin: Secret<string>,
  policies: string,
  aws: AwsDemo,
): unknown {
  return {
    listen: { host: '127.0.0.1', port },
    // With "any free port" it is not known yet: certificates then do not say where to ask about them.
    ...(port === 0 ? {} : { publicUrl: `http://127.0.0.1:${port}` }),
    log: { level },
    policies,
    resources: {
      'shop-db': {
        adapter: 'postgres',
        admin: shopAdmin.reveal(),
        access: {
          read: { memberOf: 'shop_reader', maxTtl: '1h' },
          write: { memberOf: 'shop_writer', maxTtl: '15m' },
        },
      },
      'internal-api': {
        adapter: 'x509',
        trustDomain: 'dev.taskgrant.invalid',
        ca: { createdInFolder: 'ca' },
        access: {
          client: { maxTtl: '1h' },
          server: { maxTtl: '1h', usages: ['server'], dnsNames: ['localhost'] },
        },
      },
      'aws-demo': aws.resource,
    },
  }
}

async function refuseSecond(stateFile: string): Promise<void> {
  const text = await readFile(stateFile, 'utf8').catch(() => undefined)
  if (text === undefined) return
  const { pid, url } = JSON.parse(text) as { pid: number; url: string }
  if (!isAlive(pid)) return
  throw new StartupError(
    `a dev broker runs here already, at ${url} (process ${pid}); set TASKGRANT_HOME for another`,
  )
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Written once: from then on they are the user's to change. */
async function writePolicies(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'dev.cedar'), DEV_POLICIES, { flag: 'wx' }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    },
  )
}
