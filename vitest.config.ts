import { configDefaults, defineConfig } from 'vitest/config'

// Node 20 aborts when Cedar's WebAssembly is called often: broker/policy/cedar-v8-flag.ts has the same for `taskgrant`.
const isNode20 = process.versions.node.startsWith('20.')

export const sharedOptions = {
  globalSetup: [new URL('./test/support/global-setup.ts', import.meta.url).pathname],
  pool: 'forks' as const,
  execArgv: isNode20 ? ['--no-turbo-inline-js-wasm-calls'] : [],
  maxWorkers: 2,
  testTimeout: 60_000,
  // What is waited for takes as long as the machine needs; how long is no part of any rule.
  expect: { poll: { timeout: 15_000 } },
  hookTimeout: 60_000,
}

export default defineConfig({
  test: {
    ...sharedOptions,
    include: ['test/**/*.test.ts'],
    // These need what a user need not have: npm run test:peers.
    exclude: [...configDefaults.exclude, 'test/peers/**'],
  },
})
