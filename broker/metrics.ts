import { Counter, Gauge, Histogram, Registry } from 'prom-client'

export interface Metrics {
  readonly registry: Registry
  readonly tasksOpened: Counter
  readonly grantsIssued: Counter<'resource'>
  readonly grantsDenied: Counter<'resource'>
  readonly grantsFailed: Counter<'resource'>
  readonly accessEnded: Counter<'resource' | 'reason'>
  readonly withdrawalsFailed: Counter<'resource'>
  readonly orphansRemoved: Counter<'resource'>
  /** From when access was to end until it had. */
  readonly accessEndedSeconds: Histogram<'resource'>
  readonly issueSeconds: Histogram<'resource'>
  readonly requestSeconds: Histogram<'method' | 'route' | 'status'>
  readonly overdue: Gauge<'resource'>
  readonly stuck: Gauge<'resource'>
  readonly residue: Gauge<'resource'>
  readonly backendUp: Gauge<'resource'>
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Label values are names of the configuration and fixed words: never anything a caller chose. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> =>
    new Counter({ name: `taskgrant_${name}`, help, labelNames, registers })
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]): Gauge<Label> =>
    new Gauge({ name: `taskgrant_${name}`, help, labelNames, registers })
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
  ): Histogram<Label> =>
    new Histogram({ name: `taskgrant_${name}`, help, labelNames, buckets: SECONDS, registers })
  return {
    registry,
    tasksOpened: counter('tasks_opened_total', 'Tasks opened', []),
    grantsIssued: counter('grants_issued_total', 'Credentials handed out', ['resource']),
    grantsDenied: counter('grants_denied_total', 'Grants refused by policy', ['resource']),
    grantsFailed: counter('grants_failed_total', 'Grants that could not be issued', ['resource']),
    accessEnded: counter('grants_access_ended_total', 'Grants whose access has ended', [
      'resource',
      'reason',
    ]),
    withdrawalsFailed: counter('withdrawals_failed_total', 'Attempts to withdraw that failed', ['resource']),
    orphansRemoved: counter('orphans_removed_total', 'Credentials without a grant that were removed', [
      'resource',
    ]),
    accessEndedSeconds: histogram('access_ended_seconds', 'From due until access had ended', ['resource']),
    issueSeconds: histogram('issue_seconds', 'Time of the call that creates a credential', ['resource']),
    requestSeconds: histogram('http_request_seconds', 'Time of requests', ['method', 'route', 'status']),
    overdue: gauge('grants_overdue', 'Grants past their end whose access has not ended', ['resource']),
    stuck: gauge('grants_stuck', 'Grants that keep failing to be withdrawn', ['resource']),
    residue: gauge('grants_residue', 'Grants with something left on the backend', ['resource']),
    backendUp: gauge('backend_up', '1 if the last check of the backend passed', ['resource']),
  }
}
