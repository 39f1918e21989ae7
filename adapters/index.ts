import type { AdapterKind } from '../broker/adapter.ts'
import { awsStsAdapter } from './aws-sts/index.ts'
import { postgresAdapter } from './postgres/index.ts'
import { x509Adapter } from './x509/index.ts'

/** Every kind of backend that this release knows. */
export const adapterKinds: readonly AdapterKind[] = [awsStsAdapter, postgresAdapter, x509Adapter]
