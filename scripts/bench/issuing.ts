import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { scramVerifier } from '../../adapters/postgres/scram.ts'
import { measure, type Post, type Rate } from './load.ts'

const CONNECTIONS = [1, 16, 32]
const ITERATIONS = [1, 4096]

/** Grants a second, each a task of its own with one database user, beside `CREATE ROLE` alone. */
export async function benchIssue(post: Post, shop: pg.Pool, quick: boolean): Promise<void> {
  console.log('Issuing: POST /v1/tasks with one postgres grant, beside CREATE ROLE alone')
  const rows: Record<string, string>[] = []
  for (const iterations of ITERATIONS) {
    for (const connections of CONNECTIONS) {
      const count = (connections === 1 ? 400 : 2_000) / (quick ? 4 : 1)
      const open = async (): Promise<void> => {
        const grants = [{ resource: `db-${iterations}`, access: 'read', ttlSeconds: 3600 }]
        const { status, body } = await post('/v1/tasks', { purpose: 'bench', ttlSeconds: 3600, grants })
        if (status !== 201) throw new Error(body)
      }
      await measure(50, connections, open)
      const raw = await rawCreateRole(shop, count, connections, iterations)
      const broker = await measure(count, connections, open)
      rows.push(row(iterations, connections, raw, broker))
    }
  }
  console.table(rows)
}

async function rawCreateRole(
  shop: pg.Pool,
  count: number,
  connections: number,
  iterations: number,
): Promise<Rate> {
  const prefix = `raw_${randomBytes(4).toString('hex')}`
  const verifier = await scramVerifier(randomBytes(32).toString('base64url'), iterations)
  const rate = await measure(count, connections, async (index) => {
    await shop.query(
      `create role ${prefix}_${index} login in role shop_reader valid until '2099-01-01' password '${verifier}'`,
    )
  })
  for (let start = 0; start < count; start += 500) {
    const names = Array.from(
      { length: Math.min(500, count - start) },
      (_, index) => `${prefix}_${start + index}`,
    )
    await shop.query(`drop role ${names.join(', ')}`)
  }
  return rate
}

function row(iterations: number, connections: number, raw: Rate, broker: Rate): Record<string, string> {
  return {
    'scram iterations': String(iterations),
    connections: String(connections),
    'raw/s': raw.perSecond.toFixed(0),
    'grants/s': broker.perSecond.toFixed(0),
    ratio: (broker.perSecond / raw.perSecond).toFixed(2),
    'p50 ms': broker.p50Ms.toFixed(1),
    'p99 ms': broker.p99Ms.toFixed(1),
  }
}
