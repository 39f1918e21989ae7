import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Flaw } from './errors.ts'

const REFERENCE = /\$\{(env|file):([^}]+)\}/g

/**
 * Replaces `${env:NAME}` and `${file:path}` in every string of a configuration. A file's last line break is dropped.
 * Only references are looked up, so that secrets need not stand in the configuration itself. Values whose key ends in
 * `File` or `Folder` are paths, and made absolute.
 */
export async function resolveReferences(
  value: unknown,
  folder: string,
): Promise<{ readonly value: unknown; readonly flaws: readonly Flaw[] }> {
  const flaws: Flaw[] = []
  const walk = async (part: unknown, path: readonly string[]): Promise<unknown> => {
    if (typeof part === 'string') return substitute(part, path)
    if (Array.isArray(part))
      return Promise.all(part.map((item, index) => walk(item, [...path, String(index)])))
    if (typeof part !== 'object' || part === null) return part
    const entries = Object.entries(part).map(async ([key, item]) => {
      const walked = await walk(item, [...path, key])
      return [
        key,
        (key.endsWith('File') || key.endsWith('Folder')) && typeof walked === 'string'
          ? resolve(folder, walked)
          : walked,
      ] as const
    })
    return Object.fromEntries(await Promise.all(entries))
  }
  const substitute = async (text: string, path: readonly string[]): Promise<string> => {
    let result = ''
    let end = 0
    for (const match of text.matchAll(REFERENCE)) {
      result += text.slice(end, match.index) + (await lookUp(match[1] ?? '', match[2] ?? '', path))
      end = match.index + match[0].length
    }
    return result + text.slice(end)
  }
  const lookUp = async (kind: string, name: string, path: readonly string[]): Promise<string> => {
    const found =
      kind === 'env'
        ? process.env[name]
        : await readFile(resolve(folder, name), 'utf8').catch(() => undefined)
    if (found === undefined || found === '') {
      const message =
        kind === 'env' ? `environment variable ${name} is not set` : `file ${name} cannot be read or is empty`
      flaws.push({ path: path.join('.'), message })
      return ''
    }
    return kind === 'env' ? found : found.replace(/\r?\n$/, '')
  }
  return { value: await walk(value, []), flaws }
}
