import { inspect } from 'node:util'

const PLACEHOLDER = '[secret]'

/**
 * Holds a value that must never be printed. Logging, `JSON.stringify`, template strings and `util.inspect` all
 * show a placeholder; only {@link Secret.reveal} gives the value, so a search for `reveal(` finds every place
 * where a secret leaves its wrapper.
 */
export class Secret<T> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  reveal(): T {
    return this.#value
  }

  toString(): string {
    return PLACEHOLDER
  }

  toJSON(): string {
    return PLACEHOLDER
  }

  [Symbol.toPrimitive](): string {
    return PLACEHOLDER
  }

  [inspect.custom](): string {
    return PLACEHOLDER
  }
}
