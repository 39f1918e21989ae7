import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Secret } from '../../broker/secret.ts'
import type { Post } from './load.ts'

const GRANTS = 100

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

/** The end of a task with 100 grants, beside dropping 100 users in one statement. */
export async function benchEnd(post: Post, shop: pg.Pool, quick: boolean): Promise<void> {
  console.log(
    `\nEnding: a task with ${GRANTS} postgres grants, beside DROP ROLE of ${GRANTS} in one statement`,
  )
  const rows: Record<string, string>[] = []
  for (let round = 0; round < (quick ? 2 : 5); round += 1) {
    const prefix = await createRoles(shop, GRANTS)
    const raw = await timed(() => shop.query(`drop role ${names(prefix, 0, GRANTS)}`))
    const grants = Array.from({ length: GRANTS }, () => ({ resource: 'db-1', access: 'read' }))
    const opened = await post('/v1/tasks', { purpose: 'bench', grants })
    const { task } = JSON.parse(opened.body) as { task: { id: string } }
    let state = ''
    const broker = await timed(async () => {
      state = (JSON.parse((await post(`/v1/tasks/${task.id}/end`, {})).body) as { state: string }).state
    })
    rows.push({
      'raw ms': raw.toFixed(1),
      'end ms': broker.toFixed(1),
      times: (broker / raw).toFixed(1),
      state,
    })
  }
  console.table(rows)
}

/** How fast the reaper of a running broker withdraws expired grants, beside dropping as many users in batches. */
export async function benchReap(
  post: Post,
  storeUrl: Secret<string>,
  shop: pg.Pool,
  quick: boolean,
): Promise<void> {
  const count = quick ? 2_000 : 10_000
  const batch = 500
  console.log(`\nReaping: ${count} expired postgres grants, beside DROP ROLE in batches of ${batch}`)
  const prefix = await createRoles(shop, count)
  const raw = await timed(async () => {
    for (let start = 0; start < count; start += batch) {
      await shop.query(`drop role ${names(prefix, start, Math.min(start + batch, count))}`)
    }
  })
  // Those that are seeded are like this one.
  await post('/v1/tasks', { purpose: 'bench', grants: [{ resource: 'db-1', access: 'read' }] })
  const store = new pg.Pool({ connectionString: storeUrl.reveal(), max: 2 })
  const seeded = await seedExpired(store, shop, count)
  const broker = await timed(async () => {
    await store.query('update taskgrant.grants set due_at = now(), expires_at = now() where task_id = $1', [
      seeded,
    ])
    for (;;) {
      const left = await store.query(
        `select from taskgrant.grants where task_id = $1 and state <> 'revoked' limit 1`,
        [seeded],
      )
      if (left.rowCount === 0) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })
  await store.end()
  const rate = (ms: number): string => ((count / ms) * 1000).toFixed(0)
  console.table([{ 'raw/s': rate(raw), 'reaped/s': rate(broker), ratio: (raw / broker).toFixed(2) }])
}

function names(prefix: string, from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => `${prefix}${from + index}`).join(', ')
}

async function createRoles(shop: pg.Pool, count: number): Promise<string> {
  const prefix = `raw_${randomBytes(4).toString('hex')}_`
  await shop.query(
    `do $$ begin for i in 0..${count - 1} loop
       execute format('create role %I login in role shop_reader', '${prefix}' || i); end loop; end $$`,
  )
  return prefix
}

/** Puts grants into the store and their users on the backend, as issuing would have left them. */
async function seedExpired(store: pg.Pool, shop: pg.Pool, count: number): Promise<string> {
  const known = await store.query<{ store_id: string; handle: Record<string, unknown> }>(
    `select store_id, (select handle from taskgrant.grants where resource = 'db-1' limit 1) as handle from taskgrant.store`,
  )
  const { store_id: storeId, handle } = known.rows[0] ?? {}
  const task = await store.query<{ id: string }>(
    `insert into taskgrant.tasks (id, purpose, state, workload_id, workload_issuer, workload_subject, actors, labels, expires_at)
     values (gen_random_uuid(), 'bench', 'open', 'mcp-bench', 'bench', 'bench', '[]', '{}', now() + interval '1 hour')
     returning id`,
  )
  const taskId = task.rows[0]?.id ?? ''
  const grants = await store.query<{ role: string }>(
    `insert into taskgrant.grants
       (id, task_id, resource, access, adapter, state, handle, issued_at, expires_at, due_at)
     select id, $1, 'db-1', 'read', 'postgres', 'active',
       $3::jsonb || jsonb_build_object('role', 'tg_' || $4 || '_' || replace(id::text, '-', '')),
       now(), now() + interval '1 hour', now() + interval '1 hour'
     from (select gen_random_uuid() as id from generate_series(1, $2)) as ids
     returning handle ->> 'role' as role`,
    [taskId, count, JSON.stringify(handle), storeId],
  )
  const roles = grants.rows.map(({ role }) => role)
  for (let start = 0; start < roles.length; start += 1_000) {
    const quoted = roles.slice(start, start + 1_000).map((role) => `'${role}'`)
    await shop.query(
      `do $$ declare role text; begin foreach role in array array[${quoted.join(', ')}] loop
         execute format('create role %I login in role shop_reader', role); end loop; end $$`,
    )
  }
  return taskId
}
