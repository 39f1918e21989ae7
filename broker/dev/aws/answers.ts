import type { AwsError } from './aws-error.ts'
import { IAM } from './iam.ts'
import type { Service } from './options.ts'
import type { QueryService } from './query-operation.ts'
import { STS } from './sts.ts'
import { XML_DECLARATION, xmlElement, type XmlChildren } from './xml.ts'

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export const QUERY_SERVICES: Readonly<Record<Exclude<Service, 's3'>, QueryService>> = { sts: STS, iam: IAM }

export function resultAnswer(
  service: QueryService,
  action: string,
  result: XmlChildren | undefined,
  requestId: string,
): Answer {
  const content = { [`${action}Result`]: result, ResponseMetadata: { RequestId: requestId } }
  return xmlAnswer(200, xmlElement(`${action}Response`, content, service.namespace))
}

/** An error in the form of the service that was asked. */
export function errorAnswer(service: Service, error: AwsError, requestId: string): Answer {
  const { status, code, message } = error
  if (service === 's3') {
    const content = { Code: code, Message: message, RequestId: requestId }
    return xmlAnswer(status, XML_DECLARATION + xmlElement('Error', content))
  }
  const type = status < 500 ? 'Sender' : 'Receiver'
  const content = { Error: { Type: type, Code: code, Message: message }, RequestId: requestId }
  return xmlAnswer(status, xmlElement('ErrorResponse', content, QUERY_SERVICES[service].namespace))
}

function xmlAnswer(status: number, body: string): Answer {
  return { status, contentType: 'text/xml', body }
}
