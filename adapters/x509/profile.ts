import type { KeyObject } from 'node:crypto'

/** Where those who verify a certificate find out about it. */
export interface Locations {
  readonly crl: string
  readonly ocsp: string
  readonly caIssuers: string
}

/** Everything that a certificate of a grant says: what is signed is built from this, and compared with it. */
export interface Profile {
  /** Hexadecimal, without a sign byte. */
  readonly serial: string
  readonly commonName: string
  readonly organization: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: KeyObject
  readonly spiffeId: string
  readonly dnsNames: readonly string[]
  readonly usages: readonly ('client' | 'server')[]
  /** Undefined: nobody is told where to ask. */
  readonly locations: Locations | undefined
}
