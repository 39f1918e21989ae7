import { GetRoleCommand } from '@aws-sdk/client-iam'
import { AdapterError } from '../../broker/adapter.ts'
import type { Bounds } from './bounds.ts'
import type { Aws } from './clients.ts'
import { AwsFailure, refused } from './failure.ts'
import { fewAtOnce, valuesOf } from './few-at-once.ts'
import type { Identity } from './identity.ts'
import { roleNameOf } from './role-arn.ts'
import { rolePolicies } from './role-policies.ts'

const MAX_CLOCK_OFFSET_MS = 60_000
/** IAM takes few calls, and roles change rarely. */
const LOOK_AGAIN_MS = 5 * 60_000
/** A name that no policy of ours has. */
const NO_POLICY = 'taskgrant-check'

/** Can we do our whole job there? @throws {AdapterError} whose message says what is missing */
export type Check = (bounds: Bounds) => Promise<void>

/** @param roles ARNs of those on which we withdraw */
export function openCheck(aws: Aws, identity: Identity, roles: readonly string[]): Check {
  const soundUntil = new Map<string, number>()

  async function flawOf(arn: string, bounds: Bounds): Promise<string | undefined> {
    if ((soundUntil.get(arn) ?? 0) > performance.now()) return undefined
    try {
      await identity.requireAccountOf(arn, bounds)
      await requireRole(aws, arn, bounds)
    } catch (error) {
      // What is wrong with a role is told along with the others; an outage ends the check.
      if (error instanceof AdapterError && error.failure === 'failed') return error.message
      throw error
    }
    soundUntil.set(arn, performance.now() + LOOK_AGAIN_MS)
    return undefined
  }

  return async (bounds) => {
    await identity.look(bounds)
    const flaws = valuesOf(await fewAtOnce(roles, (arn) => flawOf(arn, bounds)))
    const found = [...flaws, clockFlaw(aws.clock.offsetMs())].filter((flaw) => flaw !== undefined)
    if (found.length > 0) throw refused(found.join('; '))
  }
}

/** @throws {AwsFailure} */
async function requireRole(aws: Aws, arn: string, bounds: Bounds): Promise<void> {
  const { name } = roleNameOf(arn)
  const command = new GetRoleCommand({ RoleName: name })
  const { Role: role } = await explaining(arn, 'iam:GetRole', () =>
    aws.iam('GetRole', bounds, (client, options) => client.send(command, options)),
  )
  if (role?.Arn !== arn) throw refused(`the ARN of role ${name} is ${role?.Arn}, not ${arn}`)
  const policies = rolePolicies(aws, name)
  await explaining(arn, 'iam:ListRolePolicies', () => policies.list(bounds))
  await explaining(arn, 'iam:GetRolePolicy', () => policies.get(NO_POLICY, bounds))
}

async function explaining<T>(arn: string, permission: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof AwsFailure)) throw error
    if (error.code === 'AccessDenied')
      throw error.toldAs(`the broker may not withdraw on ${arn}: allow it ${permission}`)
    if (error.code === 'NoSuchEntity') throw error.toldAs(`role ${arn} does not exist`)
    throw error
  }
}

function clockFlaw(offsetMs: number): string | undefined {
  if (Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS) return undefined
  const seconds = Math.round(Math.abs(offsetMs) / 1000)
  return `the clock of AWS is ${seconds} s ${offsetMs > 0 ? 'ahead of' : 'behind'} ours: sessions would end at the wrong time`
}
