// oxlint-disable-next-line import/no-unassigned-import -- the flag must be set before the first call
import './cedar-v8-flag.ts'

export {
  policySetTextToParts,
  policyToJson,
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
  validate,
  type CedarValueJson,
  type DetailedError,
  type EntityJson,
} from '@cedar-policy/cedar-wasm/nodejs'
