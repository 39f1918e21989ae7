import { AdapterError, type Call } from './adapter.ts'

/**
 * Runs one call to an adapter and stops waiting when its time is over, even if the adapter does not.
 *
 * @throws {AdapterError} `timeout`, unsettled; or whatever the adapter threw, as `failed`, unsettled, if it is no AdapterError
 */
export async function callAdapter<T>(timeoutMs: number, work: (call: Call) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const error = new AdapterError('timeout', 'the backend did not answer in time', { settled: false })
      controller.abort(error)
      reject(error)
    }, timeoutMs)
  })
  const running = work({ signal: controller.signal, timeoutMs })
  // What comes after the time is over has no listener any more, and is no error of the process.
  running.catch(() => undefined)
  try {
    return await Promise.race([running, expired])
  } catch (error) {
    if (error instanceof AdapterError) throw error
    throw new AdapterError('failed', 'the adapter failed unexpectedly', { settled: false, cause: error })
  } finally {
    clearTimeout(timer)
  }
}
