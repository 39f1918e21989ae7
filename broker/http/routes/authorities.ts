import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Authority, RevocationList, Verification } from '../../adapter.ts'
import type { Core } from '../../core.ts'
import { BrokerError } from '../../errors.ts'
import { groupBy } from '../../group-by.ts'
import { publicRoute, type Answer, type Route } from '../route.ts'

/** What those fetch who verify our credentials. None of it is secret, and none of it needs a token. */

const issuer = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'expected the id of an authority, 32 hexadecimal digits')
  .optional()
  .meta({ description: 'The authority, as the handles of its grants name it' })
const issuerQuery = z.strictObject({ issuer })
const ocspBody = z.instanceof(Uint8Array)
const ocspParams = z.strictObject({
  request: z
    .string()
    .max(4096)
    .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'expected base64')
    .meta({ description: 'The request in base64 (RFC 6960, appendix A.1)' }),
})

interface Known {
  readonly authority: Authority
  readonly verification: Verification
}

/**
 * Every authority once. Several resources may share one, and one of them may sign with it while another only accepts
 * it: whoever lists what was withdrawn speaks for it.
 */
function knownAuthorities(core: Core): Known[] {
  const known = [...core.resources.values()].flatMap(({ adapter: { verification } }) =>
    verification === undefined
      ? []
      : verification.authorities.map((authority) => ({ authority, verification })),
  )
  return [...groupBy(known, ({ authority }) => authority.id).values()].flatMap((same) => {
    const speaker = same.find(({ authority }) => authority.lists) ?? same[0]
    if (speaker === undefined) return []
    const signs = same.some(({ authority }) => authority.signs)
    return [{ ...speaker, authority: { ...speaker.authority, signs } }]
  })
}

/** The one that is named; or, of those that sign, the only one. @throws {BrokerError} `not_found`, `invalid_request` */
function choose(known: readonly Known[], id: string | undefined): Known {
  const fitting = known.filter(({ authority }) => (id === undefined ? authority.signs : authority.id === id))
  const [first, second] = fitting
  if (first === undefined) throw new BrokerError('not_found', 'there is no such authority here')
  if (second === undefined) return first
  const ids = fitting.map(({ authority }) => authority.id).join(', ')
  throw new BrokerError('invalid_request', 'several authorities sign here', {
    errors: [{ path: 'issuer', message: `expected one of ${ids}` }],
  })
}

function listing(core: Core): Known[] {
  return knownAuthorities(core).filter(({ authority }) => authority.lists)
}

/** A fresh copy is asked for every time, and sent only if it differs. */
function revalidated(
  body: string | Uint8Array,
  contentType: string,
  digest: string = digestOf(body),
): Answer {
  return { status: 200, body, contentType, etag: `"${digest}"`, headers: { 'Cache-Control': 'no-cache' } }
}

function digestOf(body: string | Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url')
}

function pemOf(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}

interface List {
  readonly der: Uint8Array
  readonly pem: string
  readonly digest: string
}

/** A list is asked for far more often than it changes. */
const prepared = new WeakMap<RevocationList, List>()

async function currentList({ authority, verification }: Known): Promise<List> {
  const list = await verification.revocationList(authority.id)
  const { der } = list
  const ready = prepared.get(list) ?? { der, pem: pemOf('X509 CRL', der), digest: digestOf(der) }
  prepared.set(list, ready)
  return ready
}

/** `unauthorized`: nobody here answers for that issuer. https://www.rfc-editor.org/rfc/rfc6960#section-2.3 */
const UNAUTHORIZED = Buffer.from('30030a0106', 'hex')

async function answerOcsp(core: Core, request: Uint8Array, mayShare: boolean): Promise<Answer> {
  const contentType = 'application/ocsp-response'
  for (const { adapter } of core.resources.values()) {
    const answer = await adapter.verification?.ocsp(request)
    if (answer === undefined) continue
    const { der, sharedUntil } = answer
    if (!mayShare || sharedUntil === undefined) return { status: 200, body: der, contentType }
    const seconds = Math.max(0, Math.floor((sharedUntil.getTime() - Date.now()) / 1000))
    // https://www.rfc-editor.org/rfc/rfc5019#section-6.2
    const headers = { 'Cache-Control': `max-age=${seconds}, public, no-transform, must-revalidate` }
    return { status: 200, body: der, contentType, headers }
  }
  return { status: 200, body: UNAUTHORIZED, contentType }
}

const OCSP_ANSWERS = {
  200: { description: 'An OCSP response, DER', contentType: 'application/ocsp-response' },
}

export const authorityRoutes: readonly Route[] = [
  publicRoute({
    method: 'get',
    path: '/v1/ca.pem',
    operationId: 'getAuthorities',
    summary: 'The certificates of all authorities that sign here or are accepted, with those above them',
    query: issuerQuery,
    answers: { 200: { description: 'PEM', contentType: 'application/x-pem-file' } },
    async handle({ core, query }) {
      const known = knownAuthorities(core)
      const chosen = query.issuer === undefined ? known : [choose(known, query.issuer)]
      if (chosen.length === 0) throw new BrokerError('not_found', 'no resource here has an authority')
      return revalidated(
        chosen.map(({ authority }) => authority.certificates).join(''),
        'application/x-pem-file',
      )
    },
  }),
  publicRoute({
    method: 'get',
    path: '/v1/ca.der',
    operationId: 'getAuthority',
    summary: 'The certificate of one authority',
    query: issuerQuery,
    answers: { 200: { description: 'DER', contentType: 'application/pkix-cert' } },
    async handle({ core, query }) {
      const { authority } = choose(knownAuthorities(core), query.issuer)
      return revalidated(authority.certificateDer, 'application/pkix-cert')
    },
  }),
  publicRoute({
    method: 'get',
    path: '/v1/crl.der',
    operationId: 'getRevocationList',
    summary: 'What one authority has withdrawn',
    query: issuerQuery,
    answers: { 200: { description: 'A CRL, DER', contentType: 'application/pkix-crl' } },
    async handle({ core, query }) {
      const { der, digest } = await currentList(choose(listing(core), query.issuer))
      return revalidated(der, 'application/pkix-crl', digest)
    },
  }),
  publicRoute({
    method: 'get',
    path: '/v1/crl.pem',
    operationId: 'getRevocationLists',
    summary: 'What all authorities have withdrawn, or the one that is named',
    query: issuerQuery,
    answers: { 200: { description: 'CRLs, PEM', contentType: 'application/x-pem-file' } },
    async handle({ core, query }) {
      const known = listing(core)
      const chosen = query.issuer === undefined ? known : [choose(known, query.issuer)]
      if (chosen.length === 0) throw new BrokerError('not_found', 'no authority here has a list')
      const lists = await Promise.all(chosen.map(currentList))
      const text = lists.map(({ pem }) => pem).join('')
      const digest = digestOf(lists.map((list) => list.digest).join())
      return revalidated(text, 'application/x-pem-file', digest)
    },
  }),
  publicRoute({
    method: 'post',
    path: '/v1/ocsp',
    operationId: 'askOcsp',
    summary: 'Whether certificates are good (RFC 6960)',
    body: ocspBody,
    bodyType: 'application/ocsp-request',
    answers: OCSP_ANSWERS,
    handle: ({ core, body }) => answerOcsp(core, body, false),
  }),
  publicRoute({
    method: 'get',
    path: '/v1/ocsp/{request}',
    takesRest: true,
    operationId: 'askOcspByGet',
    summary: 'Whether certificates are good; the answer may be cached',
    params: ocspParams,
    answers: OCSP_ANSWERS,
    handle: ({ core, params }) => answerOcsp(core, Buffer.from(params.request, 'base64'), true),
  }),
]
