import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startEmbeddedPostgres } from '../../broker/db/embedded-postgres.ts'
import { Secret } from '../../broker/secret.ts'

declare module 'vitest' {
  interface ProvidedContext {
    serverUrl: string
  }
}

/** One server per run, thrown away after it; or the one that TASKGRANT_TEST_DATABASE_URL names. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['TASKGRANT_TEST_DATABASE_URL']
  if (given !== undefined && given !== '') {
    project.provide('serverUrl', given)
    return async () => undefined
  }
  const folder = await mkdtemp(join(tmpdir(), 'taskgrant-test-'))
  // As root, the server runs as another user, who has to get through.
  await chmod(folder, 0o711)
  const server = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    password: new Secret(randomBytes(16).toString('hex')),
    settings: {
      fsync: 'off',
      synchronous_commit: 'off',
      full_page_writes: 'off',
      max_connections: '300',
      max_prepared_transactions: '20',
    },
  })
  project.provide('serverUrl', server.url('postgres').reveal())
  return async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
