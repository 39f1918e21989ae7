import { createHash, createHmac } from 'node:crypto'

/** A request as it came in, before anything of it is believed. */
export interface RawRequest {
  readonly method: string
  /** Path and query, as sent. */
  readonly target: string
  /** By lower-case name, each value as sent. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>
  readonly body: Buffer
}

export interface SigningScope {
  /** `YYYYMMDD`. */
  readonly date: string
  readonly region: string
  readonly service: string
}

export const ALGORITHM = 'AWS4-HMAC-SHA256'

/**
 * The signature that a request must have (lower-case hex).
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 * @throws {URIError} if its path or query is not encoded well
 */
export function signatureOf(
  request: RawRequest,
  signing: {
    readonly scope: SigningScope
    readonly signedHeaders: readonly string[]
    /** The value of `x-amz-date`. */
    readonly time: string
    readonly payloadHash: string
    readonly secretAccessKey: string
  },
): string {
  const { scope, signedHeaders, time, payloadHash, secretAccessKey } = signing
  const [path, query] = splitTarget(request.target)
  const canonicalRequest = [
    request.method,
    canonicalPath(path, scope.service),
    canonicalQuery(query),
    ...signedHeaders.map((name) => `${name}:${headerValue(request, name)}`),
    '',
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n')
  const scopeText = [scope.date, scope.region, scope.service, 'aws4_request'].join('/')
  const stringToSign = [ALGORITHM, time, scopeText, sha256(canonicalRequest)].join('\n')
  return hmac(signingKey(secretAccessKey, scope), stringToSign).toString('hex')
}

/** Path and query. A second `?` belongs to the query. */
export function splitTarget(target: string): readonly [path: string, query: string] {
  const mark = target.indexOf('?')
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

/** RFC 3986: everything but letters, digits and `-._~`. */
export function percentEncoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** The path of S3 is encoded once, that of every other service a second time. */
function canonicalPath(path: string, service: string): string {
  const once = path.split('/').map((segment) => percentEncoded(decodeURIComponent(segment)))
  return (service === 's3' ? once : once.map(percentEncoded)).join('/')
}

function canonicalQuery(query: string): string {
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.includes('=') ? pair.indexOf('=') : pair.length
      const parts = [pair.slice(0, equals), pair.slice(equals + 1)]
      return parts.map((part) => percentEncoded(decodeURIComponent(part)))
    })
    .toSorted(([name = '', value = ''], [otherName = '', otherValue = '']) =>
      name === otherName ? compare(value, otherValue) : compare(name, otherName),
    )
    .map((parts) => parts.join('='))
    .join('&')
}

function headerValue({ headers }: RawRequest, name: string): string {
  return (headers[name] ?? []).map((value) => value.trim().replaceAll(/ +/g, ' ')).join(',')
}

function signingKey(secretAccessKey: string, { date, region, service }: SigningScope): Buffer {
  const dateKey = hmac(`AWS4${secretAccessKey}`, date)
  return hmac(hmac(hmac(dateKey, region), service), 'aws4_request')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** By code unit, as what was encoded is ASCII. */
function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
