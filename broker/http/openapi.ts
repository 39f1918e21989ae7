import { z } from 'zod'
import { problemAnswer } from './answer-schemas.ts'
import { STATUS } from './problems.ts'
import type { Route } from './route.ts'

type Json = Record<string, unknown>

/**
 * The OpenAPI 3.1 document of these routes, generated from the schemas that validate their requests.
 * https://spec.openapis.org/oas/v3.1.1.html
 */
export function openapiDocument(routes: readonly Route[], version: string): Json {
  const components: Json = {}
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const {
      $schema: _dialect,
      $defs,
      ...json
    } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json
    for (const [name, definition] of Object.entries(($defs ?? {}) as Json))
      components[name] = hoisted(definition)
    // A schema with an id of its own becomes a component as well.
    const id = z.globalRegistry.get(schema)?.id
    if (id === undefined) return hoisted(json)
    components[id] = hoisted(json)
    return { $ref: `#/components/schemas/${id}` }
  }
  const problem = schemaOf(problemAnswer, 'output')
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route, schemaOf, problem) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'taskgrant',
      version,
      description: 'Ephemeral credentials for the tasks of AI agents.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: components,
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
  }
}

type SchemaOf = (schema: z.ZodType, io: 'input' | 'output') => Json

function operationOf(route: Route, schemaOf: SchemaOf, problem: Json): Json {
  const answers = Object.entries(route.answers).map(([status, { description, schema, contentType }]) => {
    const json = schema === undefined ? { type: 'string' } : schemaOf(schema, 'output')
    return [status, { description, content: { [contentType ?? 'application/json']: { schema: json } } }]
  })
  return {
    operationId: route.operationId,
    summary: route.summary,
    security: route.public ? [] : [{ bearer: [] }],
    parameters: parametersOf(route, schemaOf),
    ...(route.body === undefined ? {} : bodyOf(route.body, route.bodyType, schemaOf)),
    responses: {
      ...Object.fromEntries(answers),
      default: {
        description: `A problem; its code is one of ${Object.keys(STATUS).join(', ')}`,
        content: { 'application/problem+json': { schema: problem } },
      },
    },
  }
}

function bodyOf(body: z.ZodType, bodyType: string | undefined, schemaOf: SchemaOf): Json {
  if (bodyType !== undefined)
    return { requestBody: { required: true, content: { [bodyType]: { schema: {} } } } }
  const required = !body.safeParse(undefined).success
  return { requestBody: { required, content: { 'application/json': { schema: schemaOf(body, 'input') } } } }
}

function parametersOf(route: Route, schemaOf: SchemaOf): Json[] {
  const parameters: Json[] = []
  const add = (schema: z.ZodType | undefined, place: 'path' | 'query'): void => {
    if (!(schema instanceof z.ZodObject)) return
    for (const [name, field] of Object.entries(schema.shape)) {
      const required = place === 'path' || !(field as z.ZodType).safeParse(undefined).success
      parameters.push({ name, in: place, required, schema: schemaOf(field as z.ZodType, 'input') })
    }
  }
  add(route.params, 'path')
  add(route.query, 'query')
  if (route.mints === true) {
    parameters.push({
      name: 'Idempotency-Key',
      in: 'header',
      required: false,
      description: 'A retry under the same key withdraws what the first try made, and mints anew',
      schema: { type: 'string', minLength: 1, maxLength: 128 },
    })
  }
  return parameters
}

function hoisted<T>(json: T): T {
  return JSON.parse(JSON.stringify(json).replaceAll('"#/$defs/', '"#/components/schemas/')) as T
}
