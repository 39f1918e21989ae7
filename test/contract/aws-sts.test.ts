import { DeleteRolePolicyCommand, IAMClient } from '@aws-sdk/client-iam'
import { startProxy } from '../support/proxy.ts'
import {
  BROKER_KEYS,
  CONTENT,
  OTHER_STORE,
  roleNamed,
  startAws,
  STORE,
} from '../integration/aws-sts-steps.ts'
import { arnOf, REGION } from '../unit/aws-emulator-steps.ts'
import { describeAdapterContract, type AdapterHarness, type AdapterTraits } from './adapter-contract.ts'

/** As odd as IAM takes them. */
const ODD_ROLE = 'odd_+=,.@-role'

async function createHarness(): Promise<AdapterHarness> {
  const fixture = await startAws({ roles: [roleNamed('reader'), roleNamed(ODD_ROLE)] })
  const proxy = await startProxy(fixture.aws.url)
  const policy = {
    Version: '2012-10-17',
    Statement: {
      Sid: 'Reports',
      Effect: 'Allow',
      Action: 's3:GetObject',
      Resource: 'arn:aws:s3:::reports/*',
    },
  }
  return {
    adapter: fixture.adapter(
      { endpoint: proxy.through(fixture.aws.url) },
      {
        read: { roleArn: arnOf('reader') },
        odd: { roleArn: arnOf(ODD_ROLE), externalId: 'x=1,@:/-', policy },
      },
      // The emulator is consistent at once, and a suite that never waits fills a role as no broker does.
      { replaceAfterSeconds: 0 },
    ),
    storeId: STORE,
    otherStoreId: OTHER_STORE,
    access: 'read',
    hostileAccesses: ['odd'],
    async use(credential) {
      const content = await fixture.read(credential)
      if (content !== CONTENT) throw new Error(content)
    },
    async makeRoom() {
      const iam = new IAMClient({
        region: REGION,
        endpoint: fixture.aws.url,
        credentials: { ...BROKER_KEYS },
      })
      for (const PolicyName of fixture.aws.rolePolicies('reader').keys()) {
        if (!PolicyName.startsWith('taskgrant-')) continue
        await iam.send(new DeleteRolePolicyCommand({ RoleName: 'reader', PolicyName }))
      }
      iam.destroy()
    },
    async breakBackend(how) {
      proxy.mode = how
      if (how === 'refuse') proxy.cut()
    },
    async restoreBackend() {
      proxy.mode = 'pass'
    },
    incapable: {
      adapter: fixture.adapter({}, { read: { roleArn: arnOf('no-such-role') } }),
      message: /arn:aws:iam::123456789012:role\/no-such-role/,
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await fixture[Symbol.asyncDispose]()
    },
  }
}

const TRAITS: AdapterTraits = {
  sideEffects: true,
  renews: false,
  lists: false,
  nativeExpiry: 'exact',
  breakable: true,
  mayBeIncapable: true,
  secrets: ['secretAccessKey', 'sessionToken'],
}

describeAdapterContract('aws-sts', TRAITS, createHarness)
