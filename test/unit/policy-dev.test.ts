import { expect, test } from 'vitest'
import { DEV_POLICIES } from '../../broker/policy/dev-policies.ts'
import { compilePolicies } from '../../broker/policy/load-policies.ts'
import type { Action, Question } from '../../broker/policy/policy-engine.ts'

const policies = compilePolicies([{ file: 'dev.cedar', text: DEV_POLICIES }])
const BROKER = { kind: 'broker' } as const
const owner = { id: 'mcp-a', issuer: 'urn:taskgrant:dev', subject: 'mcp-a' }
const TASK = { kind: 'task', task: { id: 't', owner, purpose: 'p', labels: {} } } as const
const access = (resource: string, level: string) => ({ kind: 'access', resource, access: level }) as const

function allows(id: string, action: Action, on: Question['on'], issuer = owner.issuer): boolean {
  const workload = { id, issuer, subject: id, groups: [] }
  const decision = policies.decide({ action, workload, on, context: { time: new Date() } })
  expect(decision.errors).toEqual([])
  return decision.allowed
}

const DEMO = [
  access('shop-db', 'read'),
  access('shop-db', 'write'),
  access('internal-api', 'client'),
  access('aws-demo', 'read'),
]

test('mcp-* may open tasks, ask for the demo resources, and see and end its own tasks', () => {
  expect(allows('mcp-a', 'openTask', BROKER)).toBe(true)
  for (const on of DEMO) {
    expect([allows('mcp-a', 'requestGrant', on), allows('mcp-a', 'renewGrant', on)]).toEqual([true, true])
  }
  expect(allows('mcp-a', 'requestGrant', access('other', 'read'))).toBe(false)
  expect([allows('mcp-a', 'readTask', TASK), allows('mcp-a', 'endTask', TASK)]).toEqual([true, true])
  expect([allows('mcp-b', 'readTask', TASK), allows('mcp-b', 'endTask', TASK)]).toEqual([false, false])
  for (const action of ['readTask', 'endTask', 'revoke', 'readAudit'] as const) {
    expect(allows('mcp-a', action, BROKER)).toBe(false)
  }
})

test('admin-* may read and revoke everything, and ask for nothing', () => {
  for (const action of ['readTask', 'endTask', 'revoke'] as const) {
    expect([allows('admin-x', action, TASK), allows('admin-x', action, BROKER)]).toEqual([true, true])
  }
  expect(allows('admin-x', 'readAudit', BROKER)).toBe(true)
  expect(allows('admin-x', 'openTask', BROKER)).toBe(false)
  for (const on of DEMO) expect(allows('admin-x', 'requestGrant', on)).toBe(false)
})

test('nobody else may do anything, nor the same name from another issuer', () => {
  for (const id of ['alice', 'mcp', 'admin', 'MCP-a', 'x-mcp-a', '']) {
    expect(allows(id, 'openTask', BROKER)).toBe(false)
    expect(allows(id, 'readAudit', BROKER)).toBe(false)
  }
  expect(allows('mcp-a', 'openTask', BROKER, 'https://other.test')).toBe(false)
  expect(allows('admin-x', 'revoke', BROKER, 'https://other.test')).toBe(false)
})
