import { AdapterError } from '../../broker/adapter.ts'
import type { Ca } from './ca.ts'

/** @throws {AdapterError} if nobody would accept now what this authority signs */
export function requireValid({ validFrom, validTo }: Ca): void {
  requireNow('the authority, or one above it,', validFrom, validTo)
}

/** @throws {AdapterError} if nobody would accept now what its delegate answers */
export function requireValidResponder({ certificate, responder }: Ca): void {
  if (responder === undefined || responder.certificate === certificate) return
  const { validFrom, validTo } = responder.certificate
  requireNow('the certificate that signs OCSP answers', new Date(validFrom), new Date(validTo))
}

function requireNow(what: string, from: Date, to: Date): void {
  const now = Date.now()
  if (now < from.getTime()) throw invalid(`${what} is not valid before ${from.toISOString()}`)
  if (now >= to.getTime()) throw invalid(`${what} expired on ${to.toISOString()}`)
}

function invalid(message: string): AdapterError {
  return new AdapterError('failed', message, { settled: true })
}
