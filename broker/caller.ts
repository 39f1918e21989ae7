import { workloadPerformer, type Origin } from './audit/event-of.ts'
import type { Workload } from './identity/workload.ts'

/** An authenticated workload in one request. */
export interface Caller {
  readonly workload: Workload
  readonly requestId: string
  readonly traceId: string | undefined
  /** Aborted when the caller is not there any more to receive an answer. */
  readonly gone: AbortSignal
}

export function originOf(caller: Caller): Origin {
  return {
    performedBy: workloadPerformer(caller.workload),
    requestId: caller.requestId,
    traceId: caller.traceId,
  }
}
