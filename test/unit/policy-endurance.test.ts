import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { packageRoot } from '../../broker/package-root.ts'

const folder = pathToFileURL(join(packageRoot(), 'dist/broker/policy/')).href

// In a process without flags: vitest.config.ts sets for Node 20 what cedar-v8-flag.ts is to set by itself.
test('20,000 decisions in a row do not end the process, and agree', { timeout: 120_000 }, async () => {
  const script = `
    const { DEV_POLICIES } = await import('${folder}dev-policies.js')
    const { compilePolicies } = await import('${folder}load-policies.js')
    const engine = compilePolicies([{ file: 'dev.cedar', text: DEV_POLICIES }])
    const owner = { id: 'mcp-a', issuer: 'urn:taskgrant:dev', subject: 'a' }
    const questions = [
      ['openTask', { kind: 'broker' }],
      ['requestGrant', { kind: 'access', resource: 'shop-db', access: 'read' }],
      ['readTask', { kind: 'task', task: { id: 't', owner, purpose: 'p', labels: { a: 'b' } } }],
      ['readAudit', { kind: 'broker' }],
    ]
    let allowed = 0
    for (let index = 0; index < 20_000; index++) {
      const [action, on] = questions[index % questions.length]
      const context = { purpose: 'p' + index, labels: { n: String(index) }, ttlSeconds: index, time: new Date() }
      const decision = engine.decide({ action, workload: { ...owner, groups: ['g' + index % 7] }, on, context })
      if (decision.errors.length > 0) throw new Error(decision.errors.join())
      if (decision.allowed) allowed++
      if (index % 100 === 0) await new Promise(setImmediate)
    }
    console.log(allowed)`
  const env = { ...process.env, NODE_OPTIONS: '' }
  const run = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env })
  expect(run.stdout.trim()).toBe('15000')
})
