import { describe, expect, test } from 'vitest'
import { cutTo, displayWidth, plainJson, plainLine, plainLines } from '../../broker/cli/plain-text.ts'
import { formatTable, type Column } from '../../broker/cli/table.ts'
import { formatDuration, momentOf, roughTime } from '../../broker/cli/times.ts'

interface Row {
  readonly id: string
  readonly purpose: string
  readonly extra: string
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'ID', value: ({ id }) => id, fit: 'keep' },
  { title: 'PURPOSE', value: ({ purpose }) => purpose, fit: 'cut' },
  { title: 'EXTRA', value: ({ extra }) => extra, fit: 'drop' },
]

const ROWS: readonly Row[] = [
  { id: 'a', purpose: 'short', extra: 'x' },
  { id: 'bbbb', purpose: 'answer ticket 4711 of a customer', extra: 'yy' },
]

function widths(table: string): readonly number[] {
  return table.split('\n').map(displayWidth)
}

describe('a table', () => {
  test('aligns its columns', () => {
    expect(formatTable(ROWS, COLUMNS, Infinity)).toBe(
      [
        'ID    PURPOSE                           EXTRA\n',
        'a     short                             x\n',
        'bbbb  answer ticket 4711 of a customer  yy\n',
      ].join(''),
    )
  })

  test('shortens what may be cut until it fits', () => {
    const table = formatTable(ROWS, COLUMNS, 40)
    expect(Math.max(...widths(table))).toBeLessThanOrEqual(40)
    expect(table).toContain('answer ticket 4711')
    expect(table).toContain('…')
    expect(table).toContain('EXTRA')
  })

  test('leaves a column out before it shortens an id', () => {
    const table = formatTable(ROWS, COLUMNS, 20)
    expect(Math.max(...widths(table))).toBeLessThanOrEqual(20)
    expect(table).not.toContain('EXTRA')
    expect(table).toContain('bbbb')
  })

  test('stays aligned with wide and combining characters', () => {
    const rows = [
      { id: '日本語', purpose: 'p', extra: 'x' },
      { id: 'e\u0301e\u0301', purpose: 'p', extra: 'x' },
      { id: '👩‍💻', purpose: 'p', extra: 'x' },
    ]
    const lines = formatTable(rows, COLUMNS, Infinity).trimEnd().split('\n').slice(1)
    expect(new Set(lines.map(displayWidth)).size).toBe(1)
    expect(displayWidth('日本語')).toBe(6)
    expect(displayWidth('e\u0301')).toBe(1)
  })

  test('keeps a hostile purpose in its cell', () => {
    const hostile = { id: 'a', purpose: 'x\n0190 open\u001b[2J\u009b1m\u202eoga', extra: '\ttab' }
    const table = formatTable([hostile], COLUMNS, Infinity)
    expect(table.split('\n').length).toBe(3)
    expect(table.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u)
  })
})

describe('plain text', () => {
  test.each(['\u0000', '\r', '\u0007', '\u001b', '\u007f', '\u009b', '\u2028', '\u202e', '\u2066', '\u200f'])(
    'shows %j as a replacement character',
    (character) => {
      expect(plainLine(`a${character}b`)).toBe('a\ufffdb')
      expect(plainLines(`a${character}b\n`)).toBe('a\ufffdb\n')
    },
  )

  test('leaves other languages and emoji alone', () => {
    const text = 'Grüße, 日本語, עברית, 👩‍💻'
    expect(plainLine(text)).toBe(text)
  })

  test('is the same value after JSON, and harmless before it is parsed', () => {
    const value = { purpose: 'x\u001b[2J\u009b\u202e\u007f\n', list: [1, null, true] }
    const json = plainJson(value, 2)
    expect(JSON.parse(json)).toEqual(value)
    expect(json.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u)
  })

  test('is cut to columns, not to characters', () => {
    expect(cutTo('日本語です', 6)).toBe('日本…')
    expect(cutTo('abc', 3)).toBe('abc')
    expect(displayWidth(cutTo('日本語です', 6))).toBeLessThanOrEqual(6)
  })
})

describe('times', () => {
  test.each([
    [0, '0s'],
    [59.6, '1m'],
    [842, '14m 2s'],
    [11_400, '3h 10m'],
    [3_601, '1h'],
    [31_536_000, '365d'],
  ])('%d s is %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text)
  })

  test('are told from now', () => {
    const now = Date.parse('2026-01-31T12:00:00Z')
    expect(momentOf('2026-01-31T12:05:07Z', now)).toBe('2026-01-31T12:05:07Z (in 5m 7s)')
    expect(momentOf(null, now)).toBe(null)
    expect(roughTime('2026-01-31T12:05:07Z', now)).toBe('in 5m')
    expect(roughTime('2026-01-31T08:59:30Z', now)).toBe('3h ago')
  })
})
