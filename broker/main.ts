import { readFile } from 'node:fs/promises'
import { adapterKinds } from '../adapters/index.ts'
import { recordEvents } from './audit/audit-store.ts'
import { eventOf } from './audit/event-of.ts'
import { createBackground } from './background.ts'
import type { Adapter, Ledger } from './adapter.ts'
import type { Config, ResourceConfig } from './config.ts'
import { TIMING, type Core, type Resource, type Timing } from './core.ts'
import { openDatabase } from './db/database.ts'
import { migrate } from './db/migrate.ts'
import { StartupError, messageOf } from './errors.ts'
import { countLiveGrants } from './grants/grant-overview-store.ts'
import { createApp } from './http/app.ts'
import { listen } from './http/server.ts'
import { createAuthenticator } from './identity/authenticator.ts'
import { createLedger } from './ledger/ledger.ts'
import { createLogger, type Logger } from './logger.ts'
import { createMetrics } from './metrics.ts'
import { loadPolicies } from './policy/load-policies.ts'
import { checkBackend } from './reaper/check-backend.ts'
import { reapOnce, type ReapSummary } from './reaper/reap-once.ts'
import { startReaper } from './reaper/reaper.ts'
import type { Secret } from './secret.ts'
import { packageVersion } from './version.ts'

/** The composition root: the only part of `broker/` that knows which adapters there are. */
export { adapterKinds }

/** A running broker. */
export interface Broker {
  readonly url: string
  /** Finishes what is in flight, starts nothing new, and lets go of everything. */
  stop(): Promise<void>
}

export interface StartOptions {
  readonly config: Config
  readonly storeUrl: Secret<string>
  /** For tests: shorter times. */
  readonly timing?: Partial<Timing>
  readonly logger?: Logger
}

const GRACE_MS = 20_000

interface OpenCore extends AsyncDisposable {
  readonly core: Core
}

async function openCore(options: StartOptions): Promise<OpenCore> {
  const { config, storeUrl } = options
  const logger = options.logger ?? createLogger(config.log.level)
  const { storeId, applied } = await migrate(storeUrl)
  if (applied.length > 0) logger.info({ applied: applied.map(({ name }) => name) }, 'store migrated')
  const policy = await loadPolicies(config.policies)
  const db = openDatabase({
    url: storeUrl,
    poolSize: config.store.poolSize,
    applicationName: 'taskgrant',
    logger,
  })
  const resources = createResources(config, createLedger(db))
  const core: Core = {
    db,
    storeId,
    resources,
    policy,
    backends: new Map(),
    timing: {
      ...TIMING,
      defaultTaskTtlSeconds: config.tasks.defaultTtl,
      maxTaskTtlSeconds: config.tasks.maxTtl,
      ...options.timing,
    },
    background: createBackground(logger),
    logger,
    metrics: createMetrics(),
  }
  const dispose = async (): Promise<void> => {
    await core.background.stop()
    await Promise.all([...resources.values()].map(({ adapter }) => adapter[Symbol.asyncDispose]()))
    await db[Symbol.asyncDispose]()
  }
  try {
    await refuseStrandedGrants(core)
  } catch (error) {
    await dispose()
    throw error
  }
  return { core, [Symbol.asyncDispose]: dispose }
}

function createResources(config: Config, ledger: Ledger): ReadonlyMap<string, Resource> {
  return new Map(
    [...config.resources].map(([name, resource]) => {
      const adapter = createAdapter(name, resource, config.publicUrl, ledger)
      return [name, { name, adapter, accesses: resource.accesses }]
    }),
  )
}

function createAdapter(
  resource: string,
  { kind, settings, accesses }: ResourceConfig,
  publicUrl: URL | undefined,
  ledger: Ledger,
): Adapter {
  try {
    return kind.create({
      resource,
      settings,
      accesses: new Map([...accesses].map(([access, own]) => [access, own.settings])),
      publicUrl,
      ledger,
    })
  } catch (error) {
    const flaw = { path: `resources.${resource}`, message: messageOf(error) }
    throw new StartupError('a resource cannot be set up', [flaw], { cause: error })
  }
}

/** A resource that is gone from the configuration cannot be told to withdraw what it still has. */
async function refuseStrandedGrants(core: Core): Promise<void> {
  const counts = await countLiveGrants(core.db.auto)
  const flaws = counts
    .filter(({ resource }) => !core.resources.has(resource))
    .map(({ resource, access, grants }) => ({
      path: `resources.${resource}`,
      message: `${grants} grants of access ${access} are not withdrawn yet: put the resource back, revoke them with "taskgrant revocations create --resource ${resource}", and remove it then`,
    }))
  if (flaws.length > 0)
    throw new StartupError('resources with live grants are missing from the configuration', flaws)
}

/** Starts to serve. @throws {StartupError} */
export async function startBroker(options: StartOptions): Promise<Broker> {
  const { config } = options
  const open = await openCore(options)
  const { core } = open
  try {
    await recordEvents(core.db.auto, [
      eventOf(
        'policy.loaded',
        { performedBy: { kind: 'broker', part: 'start' } },
        {
          policySet: core.policy.policySet,
          policies: core.policy.policyIds,
        },
      ),
    ])
    await Promise.all([...core.resources.values()].map((resource) => checkBackend(core, resource)))
    const authenticator = createAuthenticator(config.issuers, {
      onKeyProblem: (issuer, message) => core.logger.warn({ issuer, reason: message }, 'keys of an issuer'),
    })
    const app = createApp(core, authenticator, packageVersion())
    const listener = await listen(app, { ...config.listen, tls: await readTls(config) })
    startReaper(core)
    core.logger.info({ url: listener.url, resources: [...core.resources.keys()] }, 'serving')
    return {
      url: listener.url,
      async stop() {
        core.background.announceStop()
        await listener.close(GRACE_MS)
        await open[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await open[Symbol.asyncDispose]()
    throw error
  }
}

async function readTls(config: Config): Promise<{ cert: string; key: string } | undefined> {
  const { tls } = config.listen
  if (tls === undefined) return undefined
  const [cert, key] = await Promise.all([readFile(tls.cert, 'utf8'), readFile(tls.key, 'utf8')]).catch(
    (error: unknown) => {
      throw new StartupError('listen.tls: a file cannot be read', [], { cause: error })
    },
  )
  return { cert, key }
}

/** Withdraws all that is due, once, without serving. @throws {StartupError | BrokerError} */
export async function reap(options: StartOptions, timeoutSeconds: number): Promise<ReapSummary> {
  await using open = await openCore(options)
  return await reapOnce(open.core, timeoutSeconds)
}
