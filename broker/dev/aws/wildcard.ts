const ARN_PARTS = 6

/**
 * Does the text match a pattern in which `*` is any run of characters and `?` any one? Takes time in proportion to the
 * product of both lengths at worst, where a regular expression with many `*` could take for ever.
 */
export function matchesWildcard(pattern: string, text: string): boolean {
  let [p, t] = [0, 0]
  let afterStar = -1
  let retryFrom = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      p += 1
      afterStar = p
      retryFrom = t
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p += 1
      t += 1
    } else if (afterStar >= 0) {
      retryFrom += 1
      p = afterStar
      t = retryFrom
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p += 1
  return p === pattern.length
}

export function isArn(text: string): boolean {
  return text.startsWith('arn:') && arnParts(text).length === ARN_PARTS
}

/** Compares part by part: a wildcard does not reach over a colon, except in the last part, the resource. */
export function matchesArn(pattern: string, arn: string): boolean {
  const [patterns, parts] = [arnParts(pattern), arnParts(arn)]
  if (patterns.length !== ARN_PARTS || parts.length !== ARN_PARTS) return false
  return patterns.every((part, index) => matchesWildcard(part, parts[index] ?? ''))
}

function arnParts(arn: string): string[] {
  const parts = arn.split(':')
  const first = parts.slice(0, ARN_PARTS - 1)
  return parts.length < ARN_PARTS ? parts : [...first, parts.slice(ARN_PARTS - 1).join(':')]
}
