import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { certificateParts, type CertificateParts } from '../../adapters/x509/certificate-parts.ts'
import { fromDer } from '../../adapters/x509/der.ts'
import { x509Adapter } from '../../adapters/x509/index.ts'
import { readSequence } from '../../adapters/x509/read-der.ts'
import type { Adapter, Credential, Issued, Ledger } from '../../broker/adapter.ts'
import { makeIdentity, writeIdentity, type TestIdentity } from '../support/certificates.ts'
import { NO_SERVICES } from '../support/resource-setup.ts'

export interface X509Wish {
  readonly ca?: TestIdentity
  /** Those above it. */
  readonly chain?: readonly TestIdentity[]
  readonly settings?: object
  readonly accesses?: Readonly<Record<string, object>>
  readonly publicUrl?: string
  readonly ledger?: Ledger
}

export interface X509Fixture extends AsyncDisposable {
  readonly folder: string
  adapter(wish?: X509Wish): Promise<Adapter>
}

export async function x509Fixture(): Promise<X509Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'taskgrant-x509-'))
  const usual = makeIdentity({ name: 'usual' })
  return {
    folder,
    async adapter({ ca = usual, chain = [], settings = {}, accesses = {}, publicUrl, ledger } = {}) {
      const files = await writeIdentity(join(folder, uuidv7()), ca, { chain })
      return x509Adapter.create({
        resource: 'internal-api',
        settings: x509Adapter.settings.parse({ trustDomain: 'example.com', ca: files, ...settings }),
        accesses: new Map(
          Object.entries({ client: {}, ...accesses }).map(([name, one]) => [
            name,
            x509Adapter.access.parse(one),
          ]),
        ),
        publicUrl: publicUrl === undefined ? undefined : new URL(publicUrl),
        ledger: ledger ?? NO_SERVICES.ledger,
      })
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

export const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1000)

export const GRANT_ID = '019a0000-0000-7000-8000-000000000001'
export const TASK_ID = '019a0000-0000-7000-8000-000000000002'

export interface GrantWish {
  readonly access?: string
  readonly params?: object
  readonly expiresAt?: Date
  readonly grantId?: string
}

export interface Minted {
  readonly certificate: X509Certificate
  readonly parts: CertificateParts
  readonly credential: Credential
  readonly issued: Issued
}

/** What a caller gets. @throws {ZodError} if the parameters are refused */
export async function mint(adapter: Adapter, wish: GrantWish = {}): Promise<Minted> {
  const { access = 'client', params = {}, expiresAt = inSeconds(600), grantId = GRANT_ID } = wish
  const plan = {
    grantId,
    taskId: TASK_ID,
    storeId: 'abcd1234',
    access,
    params: adapter.params(access).parse(params),
    workloadId: 'mcp-orders',
    ttlSeconds: 600,
  }
  const times = { expiresAt, issueBefore: inSeconds(10) }
  const call = { signal: AbortSignal.timeout(30_000), timeoutMs: 30_000 }
  const issued = await adapter.issue({ ...plan, ...times }, adapter.plan(plan), call)
  const credential = issued.credential.reveal()
  const certificate = new X509Certificate(String(credential['certificate']))
  return { certificate, parts: certificateParts(certificate.raw), credential, issued }
}

/** The types of notBefore and notAfter: 23 is UTCTime, 24 is GeneralizedTime. */
export function timeTypesOf(certificate: X509Certificate): number[] {
  const [tbs] = readSequence(fromDer(certificate.raw))
  return readSequence(readSequence(tbs)[4]).map(({ type }) => type)
}
