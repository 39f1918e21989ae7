import {
  DeleteRolePolicyCommand,
  GetRolePolicyCommand,
  ListRolePoliciesCommand,
  PutRolePolicyCommand,
} from '@aws-sdk/client-iam'
import type { Bounds } from './bounds.ts'
import type { Aws } from './clients.ts'
import { AwsFailure } from './failure.ts'

/** More than a role can hold: the quota of all together is 10,240 characters. */
const MAX_PAGES = 20

/** The inline policies of one role. */
export interface RolePolicies {
  /** The name of the role. */
  readonly role: string
  /** @throws {AwsFailure}, see {@link isFull} */
  put(name: string, document: string, bounds: Bounds): Promise<void>
  /** @throws {AwsFailure} */
  list(bounds: Bounds): Promise<readonly string[]>
  /** Undefined if there is no such policy. @throws {AwsFailure} */
  get(name: string, bounds: Bounds): Promise<string | undefined>
  /** Also if there is no such policy. @throws {AwsFailure} */
  remove(name: string, bounds: Bounds): Promise<void>
}

/** The inline policies of the role would be more than AWS allows them to be together. */
export function isFull(error: unknown): boolean {
  return error instanceof AwsFailure && error.code === 'LimitExceeded'
}

export function rolePolicies(aws: Aws, role: string): RolePolicies {
  return {
    role,

    async put(name, document, bounds) {
      const command = new PutRolePolicyCommand({
        RoleName: role,
        PolicyName: name,
        PolicyDocument: document,
      })
      await aws.iam('PutRolePolicy', bounds, (client, options) => client.send(command, options))
    },

    async list(bounds) {
      const names: string[] = []
      let marker: string | undefined
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const command = new ListRolePoliciesCommand({ RoleName: role, Marker: marker })
        const answer = await aws.iam('ListRolePolicies', bounds, (client, options) =>
          client.send(command, options),
        )
        names.push(...(answer.PolicyNames ?? []))
        marker = answer.Marker
        if (answer.IsTruncated !== true || marker === undefined) break
      }
      return names
    },

    async get(name, bounds) {
      const command = new GetRolePolicyCommand({ RoleName: role, PolicyName: name })
      try {
        const answer = await aws.iam('GetRolePolicy', bounds, (client, options) =>
          client.send(command, options),
        )
        return decodeURIComponent(answer.PolicyDocument ?? '')
      } catch (error) {
        if (isMissing(error)) return undefined
        throw error
      }
    },

    async remove(name, bounds) {
      const command = new DeleteRolePolicyCommand({ RoleName: role, PolicyName: name })
      try {
        await aws.iam('DeleteRolePolicy', bounds, (client, options) => client.send(command, options))
      } catch (error) {
        if (!isMissing(error)) throw error
      }
    },
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof AwsFailure && error.code === 'NoSuchEntity'
}
