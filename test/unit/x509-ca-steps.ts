import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { loadCa, type CaFiles } from '../../adapters/x509/load-ca.ts'
import { AdapterError } from '../../broker/adapter.ts'
import { writeIdentity, type TestIdentity } from '../support/certificates.ts'

export interface CaFolder extends AsyncDisposable {
  readonly path: string
  write(
    identity: TestIdentity,
    options?: Parameters<typeof writeIdentity>[2],
  ): Promise<{ certFile: string; keyFile: string }>
}

export async function caFolder(): Promise<CaFolder> {
  const path = await mkdtemp(join(tmpdir(), 'taskgrant-ca-'))
  return {
    path,
    write: (identity, options = {}) => writeIdentity(join(path, uuidv7()), identity, options),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** Why an authority is refused, without the path that it begins with; nothing if it is not. */
export function refusal(files: CaFiles): string | undefined {
  try {
    loadCa(files)
    return undefined
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error
    return error.message.replace(/^\S+ /, '')
  }
}
