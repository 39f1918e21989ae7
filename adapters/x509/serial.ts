import { randomBytes } from 'node:crypto'

/**
 * A serial of 159 random bits: positive, in 20 bytes at most.
 * https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.2
 */
export function randomSerial(): string {
  const bytes = randomBytes(20)
  bytes[0] = (bytes[0] ?? 0) & 0x7f
  // DER leaves leading zeros out, and so does everybody who writes a serial down.
  return bytes.toString('hex').replace(/^(00)+(?=.)/, '')
}
