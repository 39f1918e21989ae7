import type { Proxy } from './proxy.ts'
import type { World } from './world.ts'

/** Has a broker reach its store and `shop-db` through proxies, and the same database as `other-db` directly. */
export async function configureThroughProxies(world: World, store: Proxy, backend: Proxy): Promise<void> {
  const database = { adapter: 'postgres', access: { read: { memberOf: world.reader } } }
  await world.configure({
    store: { url: store.through(world.storeUrl), poolSize: 10 },
    resources: {
      'shop-db': { ...database, admin: backend.through(world.shopUrl) },
      'other-db': { ...database, admin: world.shopUrl },
    },
  })
}
