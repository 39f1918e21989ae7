import type { Session } from './database.ts'
import { run } from './query.ts'

/** Whether the store answers. Never throws. */
export async function ping(session: Session): Promise<boolean> {
  return run(session, { text: 'select 1' }).then(
    () => true,
    () => false,
  )
}
