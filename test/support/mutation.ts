/** Random numbers that are the same in every run. https://en.wikipedia.org/wiki/Permuted_congruential_generator */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 747_796_405) + 2_891_336_453) >>> 0
    const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277_803_737) >>> 0
    return (((word >>> 22) ^ word) % 2 ** 31) % below
  }
}

const INTERESTING = [0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0xff, 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31, 0xa0]

/** One to four changes of the kinds that break parsers: other bytes, bytes less, bytes more, parts repeated. */
export function mutate(original: Uint8Array, random: (below: number) => number): Buffer {
  let bytes: Buffer = Buffer.from(original)
  for (let changes = 1 + random(4); changes > 0; changes -= 1) bytes = change(bytes, random)
  return bytes.equals(original) ? mutate(original, random) : bytes
}

function change(bytes: Buffer, random: (below: number) => number): Buffer {
  const at = random(bytes.length + 1)
  const length = 1 + random(8)
  const before = bytes.subarray(0, at)
  const after = bytes.subarray(at)
  switch (random(5)) {
    case 0:
      return Buffer.concat([before, Buffer.of(random(256)), after.subarray(1)])
    case 1:
      return Buffer.concat([
        before,
        Buffer.of(INTERESTING[random(INTERESTING.length)] ?? 0),
        after.subarray(1),
      ])
    case 2:
      return Buffer.concat([before, after.subarray(length)])
    case 3:
      return Buffer.concat([before, Buffer.from(Array.from({ length }, () => random(256))), after])
    default:
      return Buffer.concat([before, bytes.subarray(Math.max(0, at - length), at), after])
  }
}
