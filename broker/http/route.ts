import type { z } from 'zod'
import type { Caller } from '../caller.ts'
import type { Core } from '../core.ts'

export interface Answer {
  readonly status: number
  readonly body?: unknown
  /** Set for anything but JSON: the body is text or bytes then. */
  readonly contentType?: string
  /** Names the body's content: whoever has it already gets 304. https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3 */
  readonly etag?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Called if the caller is gone before the whole answer was on its way. */
  readonly undelivered?: () => Promise<void>
}

interface AnswerSpec {
  readonly description: string
  readonly schema?: z.ZodType
  readonly contentType?: string
}

interface RouteFacts<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType> {
  readonly method: 'get' | 'post'
  /** With `{name}` for parameters, as in OpenAPI. */
  readonly path: string
  /** The last parameter takes the rest of the path, slashes included. */
  readonly takesRest?: true
  readonly operationId: string
  readonly summary: string
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  /** Set for anything but JSON: the body is bytes of this type then. */
  readonly bodyType?: string
  readonly answers: Readonly<Record<number, AnswerSpec>>
  /** Mints credentials: takes an Idempotency-Key, and its answers are never stored. */
  readonly mints?: boolean
}

interface Input<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType> {
  readonly core: Core
  readonly params: z.output<Params>
  readonly query: z.output<Query>
  readonly body: z.output<Body>
  readonly idempotencyKey: string | undefined
}

/** A route whose types are known to its handler only. */
export interface Route extends RouteFacts<z.ZodType, z.ZodType, z.ZodType> {
  /** Public routes know no caller. */
  readonly public: boolean
  readonly handle: (
    input: Input<z.ZodType, z.ZodType, z.ZodType>,
    caller: Caller | undefined,
  ) => Promise<Answer>
}

/** A route for authenticated callers. */
export function route<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  facts: RouteFacts<Params, Query, Body> & {
    readonly handle: (input: Input<Params, Query, Body>, caller: Caller) => Promise<Answer>
  },
): Route {
  const { handle, ...rest } = facts
  return {
    ...rest,
    public: false,
    handle: async (input, caller) => {
      if (caller === undefined) throw new Error('a route for callers was called without one')
      return handle(input, caller)
    },
  }
}

/** A route that anybody may call. */
export function publicRoute<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  facts: RouteFacts<Params, Query, Body> & {
    readonly handle: (input: Input<Params, Query, Body>) => Promise<Answer>
  },
): Route {
  return { ...facts, public: true }
}
