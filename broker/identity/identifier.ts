const MAX_LENGTH = 256
// Controls, line and paragraph separators and bidirectional marks could forge a line of a log or a table; lone
// surrogates become U+FFFD on their way to Postgres and Cedar, where two different ids would turn into one.
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/u

/** True for text that may name somebody: 1 to 256 characters that can be stored, printed and compared. */
export function isIdentifier(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= MAX_LENGTH && !UNSAFE.test(value)
}
