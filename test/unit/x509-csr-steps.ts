import { CsrError, publicKeyOfCsr } from '../../adapters/x509/csr.ts'
import { paramsOf } from '../../adapters/x509/params.ts'

/** Why a request is refused; nothing if it is not. Any other error than a refusal comes through. */
export function refusal(pem: string): string | undefined {
  try {
    publicKeyOfCsr(pem)
    return undefined
  } catch (error) {
    if (error instanceof CsrError) return error.message
    throw error
  }
}

/** What a caller who sends this request is told, as `path: message`. */
export function problemsOf(params: object, allowedNames: readonly string[] = []): string[] {
  const issues = paramsOf(allowedNames).safeParse(params).error?.issues ?? []
  return issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}
