import { setMaxListeners } from 'node:events'
import type { Logger } from './logger.ts'

/** Work that goes on after its caller has been answered. A shutdown waits for it. */
export interface Background {
  /** Aborted when the process is about to end: loops stop, waits return. */
  readonly stopping: AbortSignal
  /** Starts `work`; an error of it is logged under `what`. */
  start(what: string, work: (stopping: AbortSignal) => Promise<void>): void
  /** Keeps a shutdown waiting for `work`, which somebody else looks at. */
  track(work: Promise<unknown>): void
  /** Says that the end has come: loops stop, waits return. */
  announceStop(): void
  /** Tells all work to stop and waits for it. */
  stop(): Promise<void>
}

export function createBackground(logger: Logger): Background {
  const controller = new AbortController()
  // As many loops and waits as there are listen for it.
  setMaxListeners(0, controller.signal)
  const running = new Set<Promise<void>>()
  const track = (work: Promise<unknown>): void => {
    const settled: Promise<void> = work
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => running.delete(settled))
    running.add(settled)
  }
  return {
    stopping: controller.signal,
    track,
    announceStop: () => controller.abort(),
    start(what, work) {
      track(
        work(controller.signal).catch((error: unknown) => {
          if (!controller.signal.aborted) logger.error({ err: error, what }, 'background work failed')
        }),
      )
    },
    async stop() {
      controller.abort()
      while (running.size > 0) await Promise.all(running)
    },
  }
}
