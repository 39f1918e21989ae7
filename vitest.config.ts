import { defineConfig } from 'vitest/config'

// Node 20 aborts when Cedar's WebAssembly is called often: broker/policy/cedar-v8-flag.ts has the same for `taskgrant`.
const isNode20 = process.versions.node.startsWith('20.')

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    execArgv: isNode20 ? ['--no-turbo-inline-js-wasm-calls'] : [],
    maxWorkers: 2,
    testTimeout: 60_000,
    // What is waited for takes as long as the machine needs; how long is no part of any rule.
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 60_000,
  },
})
