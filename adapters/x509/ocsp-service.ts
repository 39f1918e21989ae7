import type { OcspAnswer, SerialStatus } from '../../broker/adapter.ts'
import type { Ca } from './ca.ts'
import { isIssuedBy, readOcspRequest, type CertId, type OcspRequest } from './ocsp-request.ts'
import { ocspError, signOcspResponse } from './ocsp-response.ts'
import type { StatusLookup } from './status-lookup.ts'

/** No serial of ours is longer, and the store is not asked about what is as long as a request may be. */
const MAX_SERIAL_DIGITS = 40

const NONE: ReadonlyMap<string, SerialStatus> = new Map()
const UNKNOWN: SerialStatus = { status: 'unknown' }

/**
 * Answers an OCSP request by what the ledger says at this moment. All certificates of one request are answered for by
 * the authority of the first that is one of ours. Undefined: none is.
 *
 * @param lookUps how to ask the ledger, by authority
 */
export async function answerOcsp(
  der: Uint8Array,
  cas: readonly Ca[],
  lookUps: ReadonlyMap<string, StatusLookup>,
  lifetimeSeconds: number,
): Promise<OcspAnswer | undefined> {
  let request: OcspRequest
  try {
    request = readOcspRequest(der)
  } catch {
    return unshared(ocspError('malformedRequest'))
  }
  const ca = cas.find((one) => request.certIds.some((certId) => isIssuedBy(certId, one)))
  const lookUp = lookUps.get(ca?.id ?? '')
  if (ca?.responder === undefined || lookUp === undefined) return undefined
  const own = request.certIds.filter((certId) => isIssuedBy(certId, ca))
  const serials = own.map(({ serial }) => serial).filter((serial) => serial.length <= MAX_SERIAL_DIGITS)
  const statuses = serials.length === 0 ? NONE : await lookUp(serials).catch(() => undefined)
  if (statuses === undefined) return unshared(ocspError('tryLater'))
  const now = new Date()
  const nextUpdate = new Date(Math.ceil(now.getTime() / 1000 + lifetimeSeconds) * 1000)
  const statusOf = (certId: CertId): SerialStatus =>
    (own.includes(certId) ? statuses.get(certId.serial) : undefined) ?? UNKNOWN
  const isDelegate = ca.responder.certificate !== ca.certificate
  return {
    der: signOcspResponse(ca.responder, isDelegate, { request, statusOf, now, nextUpdate }),
    sharedUntil: request.nonce === undefined ? nextUpdate : undefined,
  }
}

function unshared(der: Buffer): OcspAnswer {
  return { der, sharedUntil: undefined }
}
