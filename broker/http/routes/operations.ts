import { z } from 'zod'
import { ping } from '../../db/ping.ts'
import { publicRoute, type Route } from '../route.ts'
import * as schemas from '../schemas.ts'

const state = z.object({ ok: z.boolean(), message: z.string().optional() })
const readiness = z.object({ ready: z.boolean(), store: state, backends: z.record(z.string(), state) })

/** Who may look: anybody who reaches the port. Nothing here names a task, a workload or a user. */
export function operationRoutes(openapi: () => unknown): readonly Route[] {
  return [
    publicRoute({
      method: 'get',
      path: '/livez',
      operationId: 'livez',
      summary: 'The process answers',
      answers: { 200: { description: 'It does', schema: z.object({ live: z.literal(true) }) } },
      handle: async () => ({ status: 200, body: { live: true } }),
    }),
    publicRoute({
      method: 'get',
      path: '/readyz',
      operationId: 'readyz',
      summary: 'The store answers; which backends passed their last check',
      query: schemas.noQuery,
      answers: {
        200: { description: 'Ready: the store answers', schema: readiness },
        503: {
          description: 'Not ready: the store does not answer, or the broker is stopping',
          schema: readiness,
        },
      },
      async handle({ core }) {
        const store = await ping(core.db.auto)
        const ready = store && !core.background.stopping.aborted
        const backends = Object.fromEntries(
          [...core.backends].map(([name, { ok, message }]) => [
            name,
            message === undefined ? { ok } : { ok, message },
          ]),
        )
        return { status: ready ? 200 : 503, body: { ready, store: { ok: store }, backends } }
      },
    }),
    publicRoute({
      method: 'get',
      path: '/metrics',
      operationId: 'metrics',
      summary: 'Prometheus metrics',
      answers: { 200: { description: 'Text exposition format', contentType: 'text/plain' } },
      handle: async ({ core }) => ({
        status: 200,
        body: await core.metrics.registry.metrics(),
        contentType: core.metrics.registry.contentType,
      }),
    }),
    publicRoute({
      method: 'get',
      path: '/openapi.json',
      operationId: 'openapi',
      summary: 'This document',
      answers: { 200: { description: 'OpenAPI 3.1', schema: z.record(z.string(), z.unknown()) } },
      handle: async () => ({ status: 200, body: openapi() }),
    }),
  ]
}
