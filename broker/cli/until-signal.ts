/** Waits for the first SIGTERM or SIGINT. A second one ends the process at once. */
export async function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const first = (signal: NodeJS.Signals): void => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) {
        process.off(name, first)
        process.once(name, () => process.exit(1))
      }
      resolve(signal)
    }
    process.once('SIGTERM', first)
    process.once('SIGINT', first)
  })
}
