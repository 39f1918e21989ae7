import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import type { AdapterKind } from './adapter.ts'
import { parseDurationSeconds } from './clock.ts'
import { StartupError, messageOf, type Flaw } from './errors.ts'
import { issuerSettings } from './identity/issuer-config.ts'
import { LOG_LEVELS } from './logger.ts'
import { Secret } from './secret.ts'
import { resolveReferences } from './secret-references.ts'

/** Longest time anything may last: a year. */
const MAX_SECONDS = 31_536_000

const duration = z.string().transform((text, context): number => {
  const seconds = parseDurationSeconds(text)
  if (seconds !== undefined && seconds >= 1 && seconds <= MAX_SECONDS) return seconds
  context.addIssue({
    code: 'custom',
    message: 'expected a duration such as 90s, 15m, 8h or 7d, at most 365d',
  })
  return z.NEVER
})

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'expected a name of a-z 0-9 . _ - (at most 63 characters)')

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
  .max(500)
  .refine((text) => !/[?#@]/.test(text), 'expected a URL without user, query and fragment')
  .transform((text) => new URL(text.endsWith('/') ? text : `${text}/`))

function resourceSchema(kind: AdapterKind): z.ZodObject {
  const access = z.strictObject({ ...kind.access.shape, maxTtl: duration.default(3600) })
  return z.strictObject({
    ...kind.settings.shape,
    adapter: z.literal(kind.kind),
    access: z
      .record(name, access)
      .refine((accesses) => Object.keys(accesses).length > 0, 'expected at least one access'),
  })
}

function configSchema(kinds: readonly AdapterKind[]) {
  const byKind = new Map(kinds.map((kind) => [kind.kind, resourceSchema(kind)]))
  const resource = z.looseObject({ adapter: z.enum([...byKind.keys()]) }).transform((value, context) => {
    const parsed = byKind.get(value.adapter)?.safeParse(value)
    if (parsed?.success === true) return parsed.data
    for (const issue of parsed?.error.issues ?? []) {
      context.addIssue({ code: 'custom', message: issue.message, path: [...issue.path] })
    }
    return z.NEVER
  })
  return z.strictObject({
    listen: z
      .strictObject({
        host: z.string().min(1).default('127.0.0.1'),
        port: z.int().min(0).max(65_535).default(8484),
        tls: z.strictObject({ cert: z.string(), key: z.string() }).optional(),
      })
      .prefault({}),
    publicUrl: httpUrl.optional(),
    store: z
      .strictObject({
        url: z
          .string()
          .transform((url) => new Secret(url))
          .optional(),
        poolSize: z.int().min(2).max(500).default(20),
      })
      .prefault({}),
    issuers: z.array(issuerSettings).max(64).default([]),
    policies: z.string().min(1),
    tasks: z
      .strictObject({ defaultTtl: duration.prefault('15m'), maxTtl: duration.prefault('8h') })
      .prefault({}),
    log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
    resources: z.record(name, resource).default({}),
  })
}

export interface ResourceConfig {
  readonly kind: AdapterKind
  readonly settings: Readonly<Record<string, unknown>>
  readonly accesses: ReadonlyMap<
    string,
    { readonly maxTtlSeconds: number; readonly settings: Record<string, unknown> }
  >
}

type Parsed = z.output<ReturnType<typeof configSchema>>

export type Config = Omit<Parsed, 'resources'> & { readonly resources: ReadonlyMap<string, ResourceConfig> }

/**
 * Reads and checks `taskgrant.yaml` as a whole. Relative paths count from the file's folder.
 *
 * @throws {StartupError} with every flaw: where it is, and what was expected
 */
export async function loadConfig(file: string, kinds: readonly AdapterKind[]): Promise<Config> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new StartupError(`the configuration cannot be read: ${messageOf(error)}`, [], { cause: error })
  })
  const document = parseDocument(text, { prettyErrors: true, merge: false })
  if (document.errors.length > 0) {
    throw new StartupError(
      `${file} is not valid YAML`,
      document.errors.map(({ message }) => ({ path: '', message })),
    )
  }
  let raw: unknown
  try {
    raw = document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw new StartupError(`${file} is not usable YAML: ${messageOf(error)}`, [], { cause: error })
  }
  return parseConfig(raw, kinds, dirname(resolve(file)))
}

/** The same for a configuration that is in memory already. @throws {StartupError} */
export async function parseConfig(
  raw: unknown,
  kinds: readonly AdapterKind[],
  folder: string,
): Promise<Config> {
  const { value, flaws } = await resolveReferences(raw ?? {}, folder)
  if (flaws.length > 0) throw new StartupError('the configuration has references that lead nowhere', flaws)
  const parsed = configSchema(kinds).safeParse(value)
  if (!parsed.success) {
    throw new StartupError('the configuration has errors', parsed.error.issues.map(toFlaw))
  }
  const { tasks, listen } = parsed.data
  if (tasks.defaultTtl > tasks.maxTtl) {
    const flaw = { path: 'tasks.defaultTtl', message: 'expected at most tasks.maxTtl' }
    throw new StartupError('the configuration has errors', [flaw])
  }
  return {
    ...parsed.data,
    listen: { ...listen, ...(listen.tls === undefined ? {} : { tls: absolute(listen.tls, folder) }) },
    policies: resolve(folder, parsed.data.policies),
    resources: new Map(
      Object.entries(parsed.data.resources).map(([resource, settings]) => [
        resource,
        toResource(settings, kinds),
      ]),
    ),
  }
}

/** The paths of the PEM files, from the configuration's folder. */
function absolute(tls: { cert: string; key: string }, folder: string): { cert: string; key: string } {
  return { cert: resolve(folder, tls.cert), key: resolve(folder, tls.key) }
}

function toFlaw(issue: z.core.$ZodIssue): Flaw {
  return { path: issue.path.map(String).join('.'), message: issue.message }
}

function toResource(parsed: Record<string, unknown>, kinds: readonly AdapterKind[]): ResourceConfig {
  const { adapter, access, ...settings } = parsed
  const kind = kinds.find((one) => one.kind === adapter)
  if (kind === undefined) throw new StartupError(`there is no adapter ${String(adapter)}`)
  // The schema above made it so.
  const accesses = access as Record<string, { maxTtl: number }>
  return {
    kind,
    settings,
    accesses: new Map(
      Object.entries(accesses).map(([level, { maxTtl, ...own }]) => [
        level,
        { maxTtlSeconds: maxTtl, settings: own },
      ]),
    ),
  }
}
