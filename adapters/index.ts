import type { AdapterKind } from '../broker/adapter.ts'
import { postgresAdapter } from './postgres/index.ts'
import { x509Adapter } from './x509/index.ts'

/** Every kind of backend that this release knows. */
export const adapterKinds: readonly AdapterKind[] = [postgresAdapter, x509Adapter]
