import { timingSafeEqual } from 'node:crypto'
import type { Account } from './account.ts'
import { sessionCaller, userCaller, type Caller } from './caller.ts'
import type { Service } from './options.ts'
import { refusal } from './refusals.ts'
import { ALGORITHM, sha256, signatureOf, type RawRequest, type SigningScope } from './signature.ts'

const MAX_SKEW_MS = 15 * 60 * 1000
const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'
/** AWS's global services are signed for this region; the SDK, given an endpoint, signs for its own. */
const IAM_REGION = 'us-east-1'
const AUTHORIZATION = new RegExp(
  `^${ALGORITHM} Credential=([A-Za-z0-9]{16,128})/(\\d{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request, ?` +
    'SignedHeaders=([a-z0-9-]+(?:;[a-z0-9-]+)*), ?Signature=([0-9a-f]{64})$',
)
const AMZ_DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

interface Authorization {
  readonly accessKeyId: string
  readonly scope: SigningScope
  readonly signedHeaders: readonly string[]
  readonly signature: string
}

/** The service that a request is signed for, or the one in whose words to refuse it. */
export function serviceOf(request: RawRequest): Service {
  const service = authorizationOf(request)?.scope.service
  if (service === 'sts' || service === 'iam' || service === 's3') return service
  return request.method === 'POST' ? 'sts' : 's3'
}

/** Verifies the signature of a request. @throws {AwsError} */
export function authenticate(account: Account, service: Service, request: RawRequest): Caller {
  if (request.headers['authorization'] === undefined) throw refusal('noSignature', service)
  const authorization = authorizationOf(request)
  if (authorization === undefined) throw refusal('malformed', service)
  const { accessKeyId, scope, signedHeaders, signature } = authorization
  requireScope(account, service, scope)
  requireSigned(request, service, signedHeaders)
  const time = requireTime(account, request, service, scope)
  const { caller, secretAccessKey } = credentialsOf(account, request, service, accessKeyId)
  const payloadHash = requirePayloadHash(request, service)

  const signing = { scope, signedHeaders, time, payloadHash, secretAccessKey }
  if (!isSame(signature, expectedSignature(request, signing))) throw refusal('wrongSignature', service)
  // Only whoever holds the secret learns that it has expired.
  if (caller.kind === 'session' && account.now().getTime() >= caller.session.expiresAt) {
    throw refusal('expired', service)
  }
  return caller
}

function authorizationOf(request: RawRequest): Authorization | undefined {
  const match = AUTHORIZATION.exec(onlyHeader(request, 'authorization') ?? '')
  if (match === null) return undefined
  const [, accessKeyId = '', date = '', region = '', service = '', signed = '', signature = ''] = match
  return { accessKeyId, scope: { date, region, service }, signedHeaders: signed.split(';'), signature }
}

function requireScope(account: Account, service: Service, scope: SigningScope): void {
  const isRegion = scope.region === account.region || (service === 'iam' && scope.region === IAM_REGION)
  if (scope.service !== service || !isRegion) throw refusal('wrongScope', service)
}

function requireSigned(request: RawRequest, service: Service, signedHeaders: readonly string[]): void {
  const isSorted = signedHeaders.every(
    (name, index) => index === 0 || name > (signedHeaders[index - 1] ?? ''),
  )
  if (!isSorted) throw refusal('malformed', service)
  const needed = Object.keys(request.headers).filter((name) => name === 'host' || name.startsWith('x-amz-'))
  const isSigned = (name: string): boolean => signedHeaders.includes(name)
  if (!['host', 'x-amz-date', ...needed].every(isSigned)) throw refusal('unsignedHeader', service)
}

/** The value of `x-amz-date`. */
function requireTime(account: Account, request: RawRequest, service: Service, scope: SigningScope): string {
  const text = onlyHeader(request, 'x-amz-date') ?? ''
  const time = Date.parse(text.replace(AMZ_DATE, '$1-$2-$3T$4:$5:$6Z'))
  if (!AMZ_DATE.test(text) || Number.isNaN(time)) throw refusal('malformed', service)
  if (Math.abs(account.now().getTime() - time) > MAX_SKEW_MS) throw refusal('skewed', service)
  if (!text.startsWith(scope.date)) throw refusal('wrongScope', service)
  return text
}

function credentialsOf(
  account: Account,
  request: RawRequest,
  service: Service,
  accessKeyId: string,
): { readonly caller: Caller; readonly secretAccessKey: string } {
  const hasToken = request.headers['x-amz-security-token'] !== undefined
  const user = account.usersByKey.get(accessKeyId)
  if (user !== undefined) {
    if (hasToken) throw refusal('wrongToken', service)
    return { caller: userCaller(user), secretAccessKey: user.secretAccessKey.reveal() }
  }
  if (!hasToken) throw refusal('unknownKey', service)
  const session = account.sessions.open(onlyHeader(request, 'x-amz-security-token') ?? '', accessKeyId)
  const role = session === undefined ? undefined : account.roles.get(session.role)
  if (session === undefined || role === undefined) throw refusal('wrongToken', service)
  return { caller: sessionCaller(account, role, session), secretAccessKey: session.secretAccessKey }
}

function requirePayloadHash(request: RawRequest, service: Service): string {
  const actual = sha256(request.body)
  const stated = onlyHeader(request, 'x-amz-content-sha256')
  if (service === 's3' && stated === UNSIGNED_PAYLOAD) return UNSIGNED_PAYLOAD
  const isOptional = service !== 's3' && request.headers['x-amz-content-sha256'] === undefined
  if (!isOptional && stated !== actual) throw refusal('wrongPayloadHash', service)
  return actual
}

function expectedSignature(request: RawRequest, signing: Parameters<typeof signatureOf>[1]): string {
  try {
    return signatureOf(request, signing)
  } catch (error) {
    if (error instanceof URIError) return ''
    throw error
  }
}

function isSame(given: string, expected: string): boolean {
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected))
}

/** Undefined also if it was sent twice: which one counts must be no question. */
function onlyHeader({ headers }: RawRequest, name: string): string | undefined {
  const values = headers[name] ?? []
  return values.length === 1 ? values[0] : undefined
}
