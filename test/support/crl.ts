import type { Adapter } from '../../broker/adapter.ts'

/** The list of the authority that signs, as verifiers load it. */
export async function crlPem(adapter: Adapter): Promise<string> {
  const authority = adapter.verification?.authorities.find(({ signs }) => signs)
  const list = await adapter.verification?.revocationList(authority?.id ?? '')
  return pemOf('X509 CRL', list?.der ?? new Uint8Array())
}

export function pemOf(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
