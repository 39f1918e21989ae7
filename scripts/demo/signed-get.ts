import { createHash, createHmac, type BinaryLike } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'

export interface SessionKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly region: string
}

/** What the signer wants of a hash, by node:crypto. */
export class Sha256 {
  readonly #hash

  constructor(key?: unknown) {
    this.#hash = key === undefined ? createHash('sha256') : createHmac('sha256', key as BinaryLike)
  }

  update(data: unknown): void {
    this.#hash.update(data as BinaryLike)
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {
    throw new Error('a hash is used once')
  }
}

/** Gets an object, signed as S3 wants it. */
export async function signedGet(url: URL, keys: SessionKeys): Promise<{ status: number; text: string }> {
  const { region, ...credentials } = keys
  const signer = new SignatureV4({ service: 's3', region, credentials, sha256: Sha256, uriEscapePath: false })
  const { headers } = await signer.sign({
    method: 'GET',
    protocol: url.protocol,
    hostname: url.hostname,
    port: Number(url.port),
    path: url.pathname,
    query: {},
    headers: { host: url.host, 'x-amz-content-sha256': createHash('sha256').digest('hex') },
  })
  const response = await fetch(url, { headers })
  return { status: response.status, text: await response.text() }
}
