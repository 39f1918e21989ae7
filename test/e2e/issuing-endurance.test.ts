import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import { packageRoot } from '../../broker/package-root.ts'
import { runProgram } from '../support/run-program.ts'

const ADAPTER = pathToFileURL(join(packageRoot(), 'dist/adapters/x509/index.js')).href

/** In a process of its own: one that hangs in native code can only be killed. */
const ISSUE_MANY = `
  const { x509Adapter } = await import(process.argv[1])
  const adapter = x509Adapter.create({
    resource: 'api',
    settings: x509Adapter.settings.parse({ trustDomain: 'example.com', ca: { createdInFolder: process.argv[2] } }),
    accesses: new Map([['client', x509Adapter.access.parse({})]]),
    ledger: {},
  })
  const grant = {
    grantId: '01a20f89-d308-705b-8e5c-436b67fa8556', taskId: 'task', access: 'client', params: {},
    expiresAt: new Date(Date.now() + 600_000),
  }
  for (let made = 0; made < 6_000; made += 1) await adapter.issue(grant)
  console.log('done')`

it('certificates can be made for ever, however often memory is collected meanwhile', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskgrant-endurance-'))
  // With little room for what is new, it is collected all the time.
  const node = ['--max-semi-space-size=1', '--input-type=module', '--eval', ISSUE_MANY, ADAPTER]
  const { code, output } = await runProgram(process.execPath, [...node, join(folder, 'ca')], 50_000)
  expect([code, output]).toEqual([0, 'done\n'])
  await rm(folder, { recursive: true, force: true })
})
