import { readFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { messageOf } from '../errors.ts'
import { Secret } from '../secret.ts'
import { createApiClient, type ApiClient } from './api-client.ts'
import { CliError } from './cli-error.ts'
import { homeFolder, readDevState, type DevState } from './dev-state.ts'
import { note } from './output.ts'

export interface ConnectionOptions {
  readonly url?: string
  readonly tokenFile?: string
  readonly ca?: string
  readonly as?: string
}

const DEV_SUBJECT = 'admin-cli'
const DEV_TOKEN_SECONDS = 300
/** Renewed while it is still good for the longest call. */
const DEV_TOKEN_REUSE_MS = 60_000

/** The options by which a command finds and convinces a broker. There is none for the token: others can see those. */
export function withConnection(command: Command): Command {
  return command
    .option('--url <url>', 'the broker (or TASKGRANT_URL; else the dev broker of $TASKGRANT_HOME)')
    .option(
      '--token-file <file>',
      'file with the bearer token (or TASKGRANT_TOKEN; else admin-cli of the dev broker)',
    )
    .addOption(
      new Option('--as <name>', 'be this workload, with a token of the dev broker').conflicts('tokenFile'),
    )
    .option('--ca <file>', "PEM of the authority that signed the broker's certificate")
}

/** @throws {CliError} which says what is missing */
export async function connect(options: ConnectionOptions): Promise<ApiClient> {
  const home = homeFolder()
  const givenUrl = options.url ?? variable('TASKGRANT_URL')
  const given = options.as === undefined ? givenToken(options) : undefined
  const dev = givenUrl === undefined || given === undefined ? await findDev(home, givenUrl) : undefined
  const url = givenUrl === undefined ? dev?.url : parseUrl(givenUrl)
  if (url === undefined) {
    throw new CliError(`which broker? None is named, and no dev broker runs in ${home}`, {
      hint: 'Start one with "taskgrant dev", or name one with --url or TASKGRANT_URL.',
    })
  }
  const token =
    given ?? (dev?.url.origin === url.origin ? devToken(dev, options.as ?? DEV_SUBJECT) : undefined)
  if (token === undefined) throw noToken(url, options)
  warnOfPlainHttp(url)
  const ca = options.ca === undefined ? undefined : await readGiven(options.ca, '--ca')
  return createApiClient({ url, token, ca })
}

function noToken({ origin }: URL, options: ConnectionOptions): CliError {
  if (options.as !== undefined) {
    return new CliError(`${origin} is not the dev broker of $TASKGRANT_HOME, and --as is for that one only`)
  }
  return new CliError(`${origin} wants a token`, {
    hint: 'Put it in TASKGRANT_TOKEN, or in a file that --token-file names.',
  })
}

function variable(name: string): string | undefined {
  const value = process.env[name]
  return value === '' ? undefined : value
}

/** With a URL given, a dev broker that is gone does not matter. */
async function findDev(home: string, givenUrl: string | undefined): Promise<DevState | undefined> {
  if (givenUrl === undefined) return readDevState(home)
  return readDevState(home).catch(() => undefined)
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new CliError('the URL of the broker is not one', {
      hint: 'It looks like https://taskgrant.example.com.',
    })
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new CliError('the URL of the broker has a user, a query or a fragment, and must not')
  }
  return url
}

function givenToken({ tokenFile }: ConnectionOptions): (() => Promise<Secret<string>>) | undefined {
  // Read each time: whoever keeps the file fresh has a command that goes on.
  if (tokenFile !== undefined) return async () => checkedToken(await readGiven(tokenFile, '--token-file'))
  const token = variable('TASKGRANT_TOKEN')
  return token === undefined ? undefined : async () => checkedToken(token)
}

function checkedToken(text: string): Secret<string> {
  const token = text.trim()
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new CliError('the token is empty, or no token: it is one line without spaces')
  return new Secret(token)
}

async function readGiven(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CliError(`the file of ${option} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function devToken({ home }: DevState, subject: string): () => Promise<Secret<string>> {
  let kept: { token: Secret<string>; since: number } | undefined
  return async () => {
    if (kept !== undefined && Date.now() - kept.since < DEV_TOKEN_REUSE_MS) return kept.token
    const { loadOrCreateDevIssuer } = await import('../identity/dev-issuer.ts')
    const issuer = await loadOrCreateDevIssuer(home)
    const token = await issuer.sign({ subject, use: 'workload', ttlSeconds: DEV_TOKEN_SECONDS })
    kept = { token, since: Date.now() }
    return token
  }
}

function warnOfPlainHttp({ protocol, hostname, origin }: URL): void {
  const isLocal = hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
  if (protocol === 'http:' && !isLocal)
    note(`taskgrant: the token travels unencrypted to ${origin}; use https`)
}
