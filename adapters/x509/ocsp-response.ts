import type { SerialStatus } from '../../broker/adapter.ts'
import type { SigningIdentity } from './ca.ts'
import { signed } from './certificate.ts'
import {
  type Asn1,
  enumerated,
  fromDer,
  generalizedTime,
  octetString,
  oid,
  sequence,
  tagged,
  taggedBytes,
  toDer,
} from './der.ts'
import { BACKDATE_MS } from './issue.ts'
import type { CertId, OcspRequest } from './ocsp-request.ts'
import { OID } from './oids.ts'

/** https://www.rfc-editor.org/rfc/rfc6960#section-4.2.1 */
const RESPONSE_STATUS = {
  successful: 0,
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  unauthorized: 6,
} as const

/** An answer that says nothing of a certificate; it is not signed. */
export function ocspError(status: Exclude<keyof typeof RESPONSE_STATUS, 'successful'>): Buffer {
  return toDer(sequence(enumerated(RESPONSE_STATUS[status])))
}

export interface OcspAnswerFacts {
  readonly request: OcspRequest
  readonly statusOf: (certId: CertId) => SerialStatus
  readonly now: Date
  readonly nextUpdate: Date
}

/** Signs an answer. https://www.rfc-editor.org/rfc/rfc6960#section-4.2.1 */
export function signOcspResponse(
  responder: SigningIdentity,
  includeCertificate: boolean,
  facts: OcspAnswerFacts,
): Buffer {
  const { request, statusOf, now, nextUpdate } = facts
  const { nonce } = request
  const responses = request.certIds.map((certId) =>
    sequence(
      certId.asn1,
      certStatus(statusOf(certId)),
      generalizedTime(new Date(now.getTime() - BACKDATE_MS)),
      tagged(0, generalizedTime(nextUpdate)),
    ),
  )
  const data = sequence(
    tagged(2, octetString(responder.keyHash)),
    generalizedTime(now),
    sequence(...responses),
    ...(nonce === undefined ? [] : [tagged(1, sequence(sequence(oid(OID.ocspNonce), octetString(nonce))))]),
  )
  const certs = includeCertificate ? [tagged(0, sequence(fromDer(responder.certificate.raw)))] : []
  const basic = signed(data, responder.signer, ...certs)
  return toDer(
    sequence(
      enumerated(RESPONSE_STATUS.successful),
      tagged(0, sequence(oid(OID.ocspBasic), octetString(basic))),
    ),
  )
}

function certStatus(status: SerialStatus): Asn1 {
  if (status.status === 'good') return taggedBytes(0, new Uint8Array())
  if (status.status === 'withdrawn') return tagged(1, generalizedTime(status.withdrawnAt))
  return taggedBytes(2, new Uint8Array())
}
