import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { caOf, type Ca } from '../../adapters/x509/ca.ts'
import { createCrlService, type CrlService } from '../../adapters/x509/crl-service.ts'
import { x509Adapter } from '../../adapters/x509/index.ts'
import { randomSerial } from '../../adapters/x509/serial.ts'
import { signerOf } from '../../adapters/x509/signature.ts'
import type { Adapter, Call, Ledger } from '../../broker/adapter.ts'
import { writeIdentity, type TestIdentity } from '../support/certificates.ts'
import { connect } from '../support/postgres.ts'
import { readCrl, type ReadCrl } from '../support/read-crl.ts'

export const callFor = (timeoutMs = 10_000): Call => ({ signal: AbortSignal.timeout(timeoutMs), timeoutMs })
export const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1000)

export function caFrom(identity: TestIdentity): Ca {
  return caOf({ chain: [identity.certificate], key: identity.privateKey, responder: undefined })
}

export function serviceOf(
  ledger: Ledger,
  identity: TestIdentity,
  options: { readonly lifetimeSeconds?: number; readonly clock?: () => number } = {},
): CrlService {
  const signer = signerOf(identity.privateKey)
  return createCrlService({ ledger, ca: caFrom(identity), signer, lifetimeSeconds: 3600, ...options })
}

export async function currentList(service: CrlService): Promise<ReadCrl> {
  return readCrl((await service.current()).der)
}

export async function listOf(adapter: Adapter, authority = signingOf(adapter)): Promise<ReadCrl> {
  const list = await adapter.verification?.revocationList(authority)
  return readCrl(list?.der ?? new Uint8Array())
}

export function signingOf(adapter: Adapter): string {
  return adapter.verification?.authorities.find(({ signs }) => signs)?.id ?? ''
}

/** Counts what is asked of a ledger. */
export function counting(ledger: Ledger): {
  readonly ledger: Ledger
  readonly asked: Record<keyof Ledger, number>
} {
  const asked = { withdraw: 0, changes: 0, list: 0, statusOf: 0, forget: 0 }
  const count = <K extends keyof Ledger>(name: K): Ledger[K] => {
    const original = ledger[name] as (...args: unknown[]) => unknown
    return ((...args: unknown[]) => {
      asked[name] += 1
      return original(...args)
    }) as Ledger[K]
  }
  return {
    asked,
    ledger: {
      withdraw: count('withdraw'),
      changes: count('changes'),
      list: count('list'),
      statusOf: count('statusOf'),
      forget: count('forget'),
    },
  }
}

export interface AdapterWish {
  readonly ledger: Ledger
  readonly ca: TestIdentity
  readonly settings?: object
  readonly resource?: string
}

export interface Files extends AsyncDisposable {
  write(identity: TestIdentity): Promise<{ certFile: string; keyFile: string }>
  adapter(wish: AdapterWish): Promise<Adapter>
}

export async function x509Files(): Promise<Files> {
  const folder = await mkdtemp(join(tmpdir(), 'taskgrant-x509-'))
  const write = (identity: TestIdentity): Promise<{ certFile: string; keyFile: string }> =>
    writeIdentity(join(folder, randomUUID()), identity)
  return {
    write,
    async adapter({ ledger, ca, settings = {}, resource = 'internal-api' }) {
      return x509Adapter.create({
        resource,
        settings: x509Adapter.settings.parse({
          trustDomain: 'example.com',
          ca: await write(ca),
          ...settings,
        }),
        accesses: new Map([['client', x509Adapter.access.parse({})]]),
        publicUrl: undefined,
        ledger,
      })
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

export interface TestHandle {
  readonly [name: string]: string
  readonly authority: string
  readonly subject: string
  readonly serial: string
  readonly expiresAt: string
}

/** What is known of a certificate that was handed out. */
export function handleOf(authority: string, change: Partial<TestHandle> = {}): TestHandle {
  const usual = {
    authority,
    subject: randomUUID(),
    serial: randomSerial(),
    expiresAt: inSeconds(600).toISOString(),
  }
  return { ...usual, ...change }
}

/** Records grants with these handles, as minting them would. */
export async function recordGrants(url: string, handles: readonly TestHandle[]): Promise<void> {
  const client = await connect(url)
  const task = randomUUID()
  try {
    await client.query(
      `insert into taskgrant.tasks
         (id, purpose, state, workload_id, workload_issuer, workload_subject, actors, labels, expires_at)
       values ($1, 'test', 'open', 'w', 'i', 's', '[]', '{}', now() + interval '1 hour')`,
      [task],
    )
    await client.query(
      `insert into taskgrant.grants
         (id, task_id, resource, access, adapter, state, handle, issued_at, expires_at, due_at)
       select gen_random_uuid(), $1, 'internal-api', 'client', 'x509', 'active', h, now(),
         now() + interval '10 minutes', now() + interval '10 minutes'
       from jsonb_array_elements($2::jsonb) as h`,
      [task, JSON.stringify(handles)],
    )
  } finally {
    await client.end()
  }
}
