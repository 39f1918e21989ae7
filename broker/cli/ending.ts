import type { Ending } from './api-types.ts'
import { note, print, printJson, printTable } from './output.ts'

type Outstanding = Ending['outstanding'][number]

function why({ lastError, deferredUntil }: Outstanding): string {
  // A broker of an earlier release does not say.
  if (typeof deferredUntil === 'string') return `cannot be withdrawn: lasts until ${deferredUntil}`
  return lastError ?? 'no error yet'
}

/** What became of ending a task. What is still open is a failure: whoever asked relies on it being closed. */
export function reportEnding({ task, outstanding }: Ending, json: boolean): void {
  if (task.state !== 'ended') process.exitCode = 1
  if (json) {
    printJson({ task, state: task.state, outstanding })
    return
  }
  if (task.state === 'ended') {
    print(`Task ${task.id} has ended (${task.endReason ?? 'ended'}). Its credentials are withdrawn.`)
    return
  }
  print(`Task ${task.id} admits nothing new, and these grants of it may still open something:`)
  printTable(
    outstanding,
    [
      { title: 'GRANT', value: ({ grantId }) => grantId, fit: 'keep' },
      { title: 'RESOURCE', value: ({ resource }) => resource, fit: 'keep' },
      { title: 'STATE', value: ({ state }) => state, fit: 'keep' },
      { title: 'WHY', value: why, fit: 'cut' },
    ],
    'None is named; it may just have ended.',
  )
  note('The broker keeps trying. Ask again, or watch: taskgrant grants list --state revoking')
}
