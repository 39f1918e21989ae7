import { defineConfig } from 'vitest/config'
import { sharedOptions } from '../../vitest.config.ts'

/** Against software that a user need not have: nginx, openssl, moto. `.ci/run` installs it. */
export default defineConfig({ test: { ...sharedOptions, include: ['test/peers/**/*.test.ts'] } })
