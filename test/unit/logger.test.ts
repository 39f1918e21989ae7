import { Writable } from 'node:stream'
import { expect, it } from 'vitest'
import { createLogger } from '../../broker/logger.ts'
import { Secret } from '../../broker/secret.ts'

function logged(write: (logger: ReturnType<typeof createLogger>) => void): string {
  let text = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  write(createLogger('trace', sink))
  return text
}

it('an error is logged with its message, code and cause, and nothing that hangs on it', () => {
  const cause = Object.assign(new Error('inner'), { client: { password: 'hush-1' }, code: '57P01' })
  const error = new Error('outer', { cause })
  const line = JSON.parse(logged((logger) => logger.error({ err: error }, 'failed')))
  expect(line.err).toMatchObject({ message: 'outer', cause: { message: 'inner', code: '57P01' } })
  expect(JSON.stringify(line)).not.toContain('hush-1')
})

it('secrets are not logged: wrapped, or under a telling name', () => {
  const text = logged((logger) => {
    logger.info({ held: new Secret('hush-2'), password: 'hush-3', nested: { authorization: 'hush-4' } })
    logger.info(`in a text: ${String(new Secret('hush-5'))}`)
  })
  expect(text).not.toMatch(/hush/)
})
