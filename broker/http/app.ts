import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express'
import helmet from 'helmet'
import { v7 as uuidv7 } from 'uuid'
import { recordEvents } from '../audit/audit-store.ts'
import { eventOf } from '../audit/event-of.ts'
import type { Caller } from '../caller.ts'
import type { Core } from '../core.ts'
import { BrokerError } from '../errors.ts'
import type { Authenticator } from '../identity/authenticator.ts'
import { createAdmission, type Kind } from './admission.ts'
import { openapiDocument } from './openapi.ts'
import { sendProblem } from './problems.ts'
import {
  bearerOf,
  bytesOf,
  idempotencyKeyOf,
  jsonBodyOf,
  pathParams,
  requestIdOf,
  traceIdOf,
  validated,
} from './read-request.ts'
import type { Answer, Route } from './route.ts'
import { administrationRoutes } from './routes/administration.ts'
import { authorityRoutes } from './routes/authorities.ts'
import { grantRoutes } from './routes/grants.ts'
import { operationRoutes } from './routes/operations.ts'
import { taskRoutes } from './routes/tasks.ts'
import { waitQuery } from './schemas.ts'

const BODY_LIMIT = '128kb'
const BYTES = { limit: '16kb', inflate: false } as const

/** The HTTP API. https://www.rfc-editor.org/rfc/rfc9110 */
export function createApp(core: Core, authenticator: Authenticator, version: string): Express {
  const routes: Route[] = [
    ...taskRoutes(authenticator),
    ...grantRoutes,
    ...administrationRoutes,
    ...authorityRoutes,
  ]
  let document: Record<string, unknown> | undefined
  routes.push(...operationRoutes(() => (document ??= openapiDocument(routes, version))))
  const admission = createAdmission()

  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('case sensitive routing', true)
  app.set('strict routing', true)
  app.use(helmet())
  app.use((request, response, next) => {
    const requestId = requestIdOf(request) ?? uuidv7()
    response.locals['requestId'] = requestId
    response.setHeader('X-Request-Id', requestId)
    next()
  })
  app.use(express.json({ limit: BODY_LIMIT, inflate: false, type: 'application/json', strict: true }))

  for (const route of routes) {
    const parsers = route.bodyType === undefined ? [] : [express.raw({ ...BYTES, type: route.bodyType })]
    app[route.method](expressPath(route), ...parsers, async (request, response) => {
      const serving = serve(core, authenticator, admission, route, request, response)
      core.background.track(serving)
      await serving
    })
  }
  for (const path of new Set(routes.map(expressPath))) {
    const methods = routes
      .filter((route) => expressPath(route) === path)
      .map(({ method }) => method.toUpperCase())
    app.all(path, (_request, response) => {
      response.setHeader('Allow', methods.join(', '))
      throw new BrokerError('method_not_allowed', `use ${methods.join(' or ')}`)
    })
  }
  app.use(() => {
    throw new BrokerError('not_found', 'there is nothing at this path; see /openapi.json')
  })
  app.use(handleError(core))
  return app
}

function expressPath(route: Route): string {
  const path = route.path.replaceAll(/\{(\w+)\}/g, ':$1')
  return route.takesRest === true ? path.replace(/:(\w+)$/, '*$1') : path
}

async function serve(
  core: Core,
  authenticator: Authenticator,
  admission: ReturnType<typeof createAdmission>,
  route: Route,
  request: Request,
  response: Response,
): Promise<void> {
  const stop = core.metrics.requestSeconds.startTimer({ method: route.method, route: route.path })
  const received = performance.now()
  response.once('close', () => {
    stop({ status: String(response.statusCode) })
    core.logger.info(
      {
        requestId: response.locals['requestId'],
        workload: response.locals['workload'],
        method: request.method,
        route: route.path,
        id: request.params['id'],
        status: response.statusCode,
        milliseconds: Math.round(performance.now() - received),
      },
      'request',
    )
  })
  using place = admission.enter(kindOf(route))
  if (route.public) {
    await send(core, request, response, await route.handle(readInput(core, route, request, false), undefined))
    return
  }
  const caller = await identify(core, authenticator, request, response)
  await send(
    core,
    request,
    response,
    await route.handle(readInput(core, route, request, place.mayWait), caller),
  )
}

function kindOf(route: Route): Kind {
  if (route.public) return 'public'
  if (route.mints === true) return 'minting'
  return route.query === waitQuery ? 'waiting' : 'plain'
}

function readInput(
  core: Core,
  route: Route,
  request: Request,
  mayWait: boolean,
): Parameters<Route['handle']>[0] {
  const query = route.query === waitQuery && !mayWait ? { ...request.query, waitSeconds: '0' } : request.query
  return {
    core,
    params: validated(route.params, pathParams(request), 'path'),
    query: validated(route.query, query, 'query'),
    body:
      route.bodyType === undefined
        ? validated(route.body, jsonBodyOf(request, request.body), 'body')
        : validated(route.body, bytesOf(request.body, route.bodyType), 'body'),
    idempotencyKey: route.mints === true ? idempotencyKeyOf(request) : undefined,
  }
}

async function identify(
  core: Core,
  authenticator: Authenticator,
  request: Request,
  response: Response,
): Promise<Caller> {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  const facts = {
    requestId: String(response.locals['requestId']),
    traceId: traceIdOf(request),
    gone: gone.signal,
  }
  try {
    const workload = await authenticator.authenticate(bearerOf(request))
    response.locals['workload'] = workload.id
    return { ...facts, workload }
  } catch (error) {
    if (error instanceof BrokerError && request.headers.authorization !== undefined) {
      const origin = { performedBy: { kind: 'unknown' }, ...facts } as const
      await recordEvents(core.db.auto, [eventOf('identity.rejected', origin, { reason: error.message })])
    }
    throw error
  }
}

async function send(core: Core, request: Request, response: Response, answer: Answer): Promise<void> {
  response.status(answer.status).setHeader('Cache-Control', 'no-store')
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value)
  if (answer.etag !== undefined) {
    response.setHeader('ETag', answer.etag)
    if (request.headers['if-none-match'] === answer.etag) {
      response.status(304).end()
      return
    }
  }
  const body = bodyOf(answer)
  const delivered = new Promise<boolean>((resolve) => {
    response.once('finish', () => resolve(true))
    response.once('close', () => resolve(response.writableFinished))
    if (response.destroyed) resolve(false)
  })
  response.type(answer.contentType ?? 'application/json').send(body)
  if (answer.undelivered !== undefined && !(await delivered)) {
    core.background.start('withdraw what was not delivered', answer.undelivered)
  }
}

function bodyOf({ body, contentType }: Answer): string | Buffer {
  if (contentType === undefined) return JSON.stringify(body ?? null)
  return body instanceof Uint8Array ? Buffer.from(body) : String(body)
}

/** What Express and its body parser throw: an error with a status and sometimes a type. */
interface HttpError {
  readonly status?: number
  readonly type?: string
}

function toBrokerError(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  // Only these two members are read, and both may be missing.
  const { status, type } = (typeof error === 'object' && error !== null ? error : {}) as HttpError
  if (type === 'entity.too.large')
    return new BrokerError('payload_too_large', `the body is over ${BODY_LIMIT}`)
  if (status === 415)
    return new BrokerError('unsupported_media_type', 'send the body as application/json, not encoded')
  if (type === 'entity.parse.failed') return new BrokerError('invalid_request', 'the body is not valid JSON')
  if (status !== undefined && status < 500)
    return new BrokerError('invalid_request', 'the request is malformed')
  return new BrokerError('internal', 'unexpected error', { cause: error })
}

function handleError(core: Core): ErrorRequestHandler {
  return (thrown: unknown, _request, response, next) => {
    const error = toBrokerError(thrown)
    const requestId = String(response.locals['requestId'])
    if (error.code === 'internal')
      core.logger.error({ err: error.cause ?? error, requestId }, 'request failed')
    else core.logger.debug({ code: error.code, requestId }, 'request refused')
    if (response.headersSent) next(error)
    else sendProblem(response, error, requestId)
  }
}
