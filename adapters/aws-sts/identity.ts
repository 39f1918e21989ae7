import { GetCallerIdentityCommand } from '@aws-sdk/client-sts'
import type { Bounds } from './bounds.ts'
import type { Aws } from './clients.ts'
import { refused } from './failure.ts'
import { roleNameOf } from './role-arn.ts'

/** As whom AWS knows the broker. */
export interface Identity {
  /** Asks AWS anew. @throws {AwsFailure} */
  look(bounds: Bounds): Promise<void>
  /**
   * IAM knows roles by name, in the account of whoever asks: for a role of another account, we would write into one
   * of ours that happens to have its name. @throws {AwsFailure}
   */
  requireAccountOf(roleArn: string, bounds: Bounds): Promise<void>
}

export function openIdentity(aws: Aws): Identity {
  let account: string | undefined

  async function look(bounds: Bounds): Promise<void> {
    const answer = await aws.sts('GetCallerIdentity', bounds, (client, options) =>
      client.send(new GetCallerIdentityCommand({}), options),
    )
    account = answer.Account
  }

  return {
    look,
    async requireAccountOf(roleArn, bounds) {
      if (account === undefined) await look(bounds)
      if (account === roleNameOf(roleArn).account) return
      throw refused(
        `${roleArn} is not in the account of the broker's credentials (${account ?? 'unknown'}), where alone they can ` +
          'withdraw: give this resource credentials of its account, or set revocation to none',
      )
    },
  }
}
