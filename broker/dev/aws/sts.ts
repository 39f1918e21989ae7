import type { Account } from './account.ts'
import { assumeRole } from './assume-role.ts'
import type { Caller } from './caller.ts'
import { requireKnown, type Parameters } from './parameters.ts'
import type { QueryService } from './query-operation.ts'
import type { XmlChildren } from './xml.ts'

export const STS: QueryService = {
  version: '2011-06-15',
  namespace: 'https://sts.amazonaws.com/doc/2011-06-15/',
  operations: { AssumeRole: assumeRole, GetCallerIdentity: getCallerIdentity },
}

/** AWS asks no policy for this one: even an explicit deny has no effect. */
function getCallerIdentity(account: Account, caller: Caller, parameters: Parameters): XmlChildren {
  requireKnown(parameters, [])
  return { Arn: caller.arn, UserId: caller.id, Account: account.id }
}
