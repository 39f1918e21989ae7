/**
 * Purposes, names and errors come from callers that may be hostile: an escape sequence could rewrite a terminal, a
 * bidirectional override (Unicode Trojan Source, CVE-2021-42574) could show one id as another.
 */
const DANGEROUS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\ufeff]/gu
const NOT_IN_TEXT = /(?!\n)[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\ufeff]/gu

/** One line that does nothing to a terminal but show itself. */
export function plainLine(text: string): string {
  return text.replaceAll(DANGEROUS, '\ufffd')
}

/** The same for a text of several lines. */
export function plainLines(text: string): string {
  return text.replaceAll(NOT_IN_TEXT, '\ufffd')
}

/** JSON that is as harmless on a terminal, and the same value for whoever parses it. */
export function plainJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replaceAll(
    NOT_IN_TEXT,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const clusters = new Intl.Segmenter('en', { granularity: 'grapheme' })
const WIDE =
  /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]|\ufe0f/u
const INVISIBLE = /^[\p{Mn}\p{Me}\p{Cf}]+$/u

function clusterWidth(cluster: string): number {
  if (INVISIBLE.test(cluster)) return 0
  return WIDE.test(cluster) ? 2 : 1
}

/** How many columns of a terminal the text takes. */
export function displayWidth(text: string): number {
  let width = 0
  for (const { segment } of clusters.segment(text)) width += clusterWidth(segment)
  return width
}

/** Cuts to `width` columns, the ellipsis included. */
export function cutTo(text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  let kept = ''
  let used = 1
  for (const { segment } of clusters.segment(text)) {
    used += clusterWidth(segment)
    if (used > width) break
    kept += segment
  }
  return `${kept}…`
}
