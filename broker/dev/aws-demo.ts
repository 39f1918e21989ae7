import { randomBytes } from 'node:crypto'
import { Secret } from '../secret.ts'
import type { AwsEmulator } from './aws/options.ts'
import type { PolicyDocument, PolicyStatement } from './aws/policy-document.ts'
import { startAwsEmulator } from './aws/start-aws-emulator.ts'

const REGION = 'eu-west-1'
const ACCOUNT = '123456789012'
const ROLE = 'reports-reader'
const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/${ROLE}`
const BROKER_ARN = `arn:aws:iam::${ACCOUNT}:user/taskgrant`
const BUCKET = 'reports'

function policy(...Statement: readonly PolicyStatement[]): PolicyDocument {
  return { Version: '2012-10-17', Statement }
}

/** What the adapter's README asks for, and no more. */
const BROKER_POLICY = policy(
  {
    Effect: 'Allow',
    Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'],
    Resource: ROLE_ARN,
  },
  {
    Effect: 'Allow',
    Action: [
      'iam:GetRole',
      'iam:PutRolePolicy',
      'iam:GetRolePolicy',
      'iam:ListRolePolicies',
      'iam:DeleteRolePolicy',
    ],
    Resource: ROLE_ARN,
  },
)

const TRUST = policy({
  Effect: 'Allow',
  Principal: { AWS: BROKER_ARN },
  Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'],
})

const READ_REPORTS = policy({
  Effect: 'Allow',
  Action: 's3:GetObject',
  Resource: `arn:aws:s3:::${BUCKET}/*`,
})

export interface AwsDemo {
  readonly emulator: AwsEmulator
  /** What the broker itself has; it stands in {@link resource} too. */
  readonly broker: {
    readonly region: string
    readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  }
  readonly roleArn: string
  /** The resource `aws-demo`, for the configuration. */
  readonly resource: Readonly<Record<string, unknown>>
}

/** Starts an emulated account with a role that may read a bucket, and a user for the broker with what it needs. */
export async function startAwsDemo(): Promise<AwsDemo> {
  const accessKeyId = `AKIA${randomBytes(8).toString('hex').toUpperCase()}`
  const secretAccessKey = randomBytes(30).toString('base64')
  const emulator = await startAwsEmulator({
    region: REGION,
    accountId: ACCOUNT,
    users: [
      {
        name: 'taskgrant',
        accessKeyId,
        secretAccessKey: new Secret(secretAccessKey),
        policies: [BROKER_POLICY],
      },
    ],
    roles: [{ name: ROLE, trust: TRUST, policies: { 'read-reports': READ_REPORTS } }],
    objects: { [`${BUCKET}/2026-01.csv`]: 'orders,revenue\n4712,18230.50\n' },
  })
  return {
    emulator,
    broker: { region: REGION, credentials: { accessKeyId, secretAccessKey } },
    roleArn: ROLE_ARN,
    resource: {
      adapter: 'aws-sts',
      region: REGION,
      endpoint: emulator.url,
      credentials: { accessKeyId, secretAccessKey },
      access: { read: { roleArn: ROLE_ARN, maxTtl: '1h' } },
    },
  }
}
