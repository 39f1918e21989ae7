import { backoffMs, sleep } from '../clock.ts'
import type { Core } from '../core.ts'

const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 30_000

/**
 * Does `work` now. If the store does not take it, does `meanwhile`, and `work` again in the background until it is
 * recorded or the broker stops. Never throws.
 */
export async function untilRecorded(
  core: Core,
  what: { readonly message: string; readonly taskId: string },
  work: () => Promise<void>,
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<void> {
  const { message, taskId } = what
  try {
    await work()
  } catch (error) {
    core.logger.error({ err: error, taskId }, message)
    await meanwhile()
    core.background.start(message, async (stopping) => {
      for (let attempt = 1; !stopping.aborted; attempt += 1) {
        await sleep(backoffMs(attempt, FIRST_RETRY_MS, LAST_RETRY_MS), stopping)
        try {
          await work()
          return
        } catch (again) {
          core.logger.warn({ err: again, taskId, attempt }, message)
        }
      }
    })
  }
}
