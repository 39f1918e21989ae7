/** As many as may fail while AWS refuses everything; older ones are withdrawn as if they might exist. */
const REMEMBERED = 10_000

/**
 * Sessions that AWS has definitely refused to open, by name. To withdraw them takes nothing, where any other that was
 * not confirmed must be denied: AWS cannot tell whether it exists.
 */
export interface NeverMade {
  add(sessionName: string): void
  has(sessionName: string): boolean
}

export function openNeverMade(): NeverMade {
  const names = new Set<string>()
  return {
    add(name) {
      names.add(name)
      const [oldest] = names
      if (names.size > REMEMBERED && oldest !== undefined) names.delete(oldest)
    },
    has: (name) => names.has(name),
  }
}
