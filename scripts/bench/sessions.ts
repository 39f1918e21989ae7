import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts'
import type { AwsDemo } from '../../broker/dev/aws-demo.ts'
import { measure, type Post } from './load.ts'

const CONNECTIONS = [1, 16]

/**
 * AWS sessions a second, each in a task of its own, beside AssumeRole by the SDK alone. The emulated AWS shares this
 * machine too, and verifies every signature.
 */
export async function benchSessions(
  post: Post,
  { emulator, broker, roleArn }: AwsDemo,
  quick: boolean,
): Promise<void> {
  console.log('\nAWS sessions: POST /v1/tasks with one aws-sts grant, beside AssumeRole alone')
  const sts = new STSClient({
    region: broker.region,
    endpoint: emulator.url,
    credentials: { ...broker.credentials },
  })
  const assume = async (index: number): Promise<void> => {
    await sts.send(new AssumeRoleCommand({ RoleArn: roleArn, RoleSessionName: `bench-${index}` }))
  }
  const open = async (): Promise<void> => {
    const grants = [{ resource: 'aws', access: 'read', ttlSeconds: 900 }]
    const { status, body } = await post('/v1/tasks', { purpose: 'bench', grants })
    if (status !== 201) throw new Error(body)
  }
  const rows: Record<string, string>[] = []
  for (const connections of CONNECTIONS) {
    const count = (connections === 1 ? 200 : 800) / (quick ? 4 : 1)
    await measure(20, connections, open)
    await measure(20, connections, assume)
    const raw = await measure(count, connections, assume)
    const minted = await measure(count, connections, open)
    rows.push({
      connections: String(connections),
      'raw/s': raw.perSecond.toFixed(0),
      'sessions/s': minted.perSecond.toFixed(0),
      ratio: (minted.perSecond / raw.perSecond).toFixed(2),
      'p50 ms': minted.p50Ms.toFixed(1),
      'p99 ms': minted.p99Ms.toFixed(1),
    })
  }
  console.table(rows)
  sts.destroy()
}
