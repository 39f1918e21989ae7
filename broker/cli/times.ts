const UNITS = [
  { name: 'd', seconds: 86_400 },
  { name: 'h', seconds: 3_600 },
  { name: 'm', seconds: 60 },
  { name: 's', seconds: 1 },
] as const

/** `45s`, `14m 2s`, `3h 10m`: the two largest units. */
export function formatDuration(seconds: number): string {
  let rest = Math.max(0, Math.round(seconds))
  const parts: string[] = []
  for (const unit of UNITS) {
    const count = Math.floor(rest / unit.seconds)
    rest -= count * unit.seconds
    if (count > 0) parts.push(`${count}${unit.name}`)
    else if (parts.length > 0) break
  }
  return parts.length === 0 ? '0s' : parts.slice(0, 2).join(' ')
}

/** `in 14m 2s` or `3h ago`, by the clock of this machine. */
function relativeTime(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000
  return seconds >= 0 ? `in ${formatDuration(seconds)}` : `${formatDuration(-seconds)} ago`
}

/** `in 14m`, `3h ago`: short, for a column. */
export function roughTime(time: string, now = Date.now()): string {
  return relativeTime(time, now).replace(/^(in )?(\S+).*?( ago)?$/, '$1$2$3')
}

/** Both: the moment, to compare with logs, and how far away it is. */
export function momentOf(time: string | null, now = Date.now()): string | null {
  return time === null ? null : `${time} (${relativeTime(time, now)})`
}
