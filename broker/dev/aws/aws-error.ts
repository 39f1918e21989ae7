/** A refusal in AWS's own terms; the server puts it into the XML of the service that was asked. */
export class AwsError extends Error {
  /** HTTP status. */
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.name = 'AwsError'
    this.status = status
    this.code = code
  }
}

export function validationError(message: string): AwsError {
  return new AwsError(400, 'ValidationError', message)
}

/** AWS's wording where the rule for one request member is broken. */
export function constraintError(name: string, value: string, constraint: string): AwsError {
  const member = `${name.charAt(0).toLowerCase()}${name.slice(1)}`
  const shown = value.length > 200 ? `${value.slice(0, 200)}…` : value
  return validationError(
    `1 validation error detected: Value '${shown}' at '${member}' failed to satisfy constraint: ${constraint}`,
  )
}

export function accessDenied(callerArn: string, action: string, resource: string): AwsError {
  const message = `User: ${callerArn} is not authorized to perform: ${action} on resource: ${resource}`
  return new AwsError(403, 'AccessDenied', message)
}
