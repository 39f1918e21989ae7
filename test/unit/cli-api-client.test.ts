import { expect, test } from 'vitest'
import { createApiClient, type ApiClient } from '../../broker/cli/api-client.ts'
import { ApiError } from '../../broker/cli/api-error.ts'
import { findNewest } from '../../broker/cli/audit-end.ts'
import { ConnectionError } from '../../broker/cli/connection-error.ts'
import { collect } from '../../broker/cli/pages.ts'
import { describeFailure } from '../../broker/cli/report-failure.ts'
import { Secret } from '../../broker/secret.ts'
import { startHttpStub, type StubAnswer } from '../support/http-stub.ts'

const TOKEN = 'eyJ.very.secret'

function clientOf(url: string, timeoutMs = 2_000): ApiClient {
  return createApiClient({ url: new URL(url), token: async () => new Secret(TOKEN), timeoutMs })
}

async function failureOf(answer: StubAnswer | undefined, timeoutMs?: number): Promise<Error> {
  await using stub = await startHttpStub(() => answer)
  const failure: unknown = await clientOf(stub.url, timeoutMs)
    .get('/v1/tasks')
    .catch((error: unknown) => error)
  if (!(failure instanceof Error)) throw new Error('it did not fail')
  return failure
}

function problem(status: number, members: object, headers: Record<string, string> = {}): StubAnswer {
  return {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
    body: { status, ...members },
  }
}

test('a call carries the token, the query and the body', async () => {
  await using stub = await startHttpStub(() => ({ body: { done: true } }))
  const api = clientOf(`${stub.url}/behind/a/proxy/`)
  const query = { waitSeconds: 3, left: undefined, name: 'a&b c' }
  expect(await api.post('/v1/x', { reason: 'r' }, query)).toEqual({ status: 200, body: { done: true } })
  expect(stub.requests[0]).toMatchObject({
    method: 'POST',
    url: '/behind/a/proxy/v1/x?waitSeconds=3&name=a%26b+c',
    body: '{"reason":"r"}',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
  })
})

test('a post without a body says so', async () => {
  await using stub = await startHttpStub(() => ({ body: {} }))
  await clientOf(stub.url).post('/v1/x', undefined)
  expect(stub.requests[0]?.body).toBe('')
  expect(stub.requests[0]?.headers).not.toHaveProperty('content-type')
})

test('a problem is told with its parts and the way out', async () => {
  const failure = await failureOf(
    problem(400, {
      code: 'invalid_request',
      title: 'The request is not valid',
      detail: 'the query is not valid',
      errors: [
        { path: 'limit', message: 'expected at most 1000' },
        { path: '', message: 'unknown key' },
      ],
      requestId: 'req-1',
    }),
  )
  expect(failure).toBeInstanceOf(ApiError)
  expect(describeFailure(failure)).toBe(
    [
      'the query is not valid (invalid_request)',
      '  limit: expected at most 1000',
      '  request: unknown key',
      '  request id: req-1',
    ].join('\n'),
  )
})

test.each([
  [401, 'unauthenticated', /--token-file/],
  [403, 'denied', /audit tail/],
  [404, 'not_found', /tasks list/],
  [503, 'store_unavailable', /try again/],
])('%d %s names the way out', async (status, code, hint) => {
  const failure = await failureOf(problem(status, { code, title: 't' }))
  expect(describeFailure(failure)).toMatch(hint)
})

test('what should be tried again says when', async () => {
  const answer = problem(429, { code: 'rate_limited', title: 'Too many requests' }, { 'retry-after': '7' })
  expect(describeFailure(await failureOf(answer))).toBe('Too many requests (rate_limited)\nTry again in 7 s.')
})

test('an answer of something that is no broker is told as such', async () => {
  const page = { status: 502, headers: { 'content-type': 'text/html' }, body: '<html>bad gateway' }
  expect(describeFailure(await failureOf(page))).toMatch(/answered 502 and no reason\nIs this the URL/)
  const login = { headers: { 'content-type': 'text/html' }, body: '<html>log in' }
  expect(await failureOf(login)).toBeInstanceOf(ApiError)
})

test('a redirect is not followed with the token', async () => {
  await using other = await startHttpStub(() => ({ body: { items: [] } }))
  const failure = await failureOf({ status: 302, headers: { location: `${other.url}/` } })
  expect(failure).toBeInstanceOf(ApiError)
  expect(other.requests).toEqual([])
})

test('no answer in time is told, and that it may still happen', async () => {
  const failure = await failureOf(undefined, 100)
  expect(failure).toBeInstanceOf(ConnectionError)
  expect(describeFailure(failure)).toMatch(/did not answer in time\nWhat was asked may still happen/)
})

test('nobody there is told with how to start one', async () => {
  const stub = await startHttpStub(() => ({}))
  await stub[Symbol.asyncDispose]()
  const failure: unknown = await clientOf(stub.url)
    .get('/v1/tasks')
    .catch((error: unknown) => error)
  expect(describeFailure(failure)).toMatch(/nothing listens at http.*\nIs it running\?.*taskgrant dev/)
})

test('no failure shows the token', async () => {
  const failures = [
    await failureOf(problem(401, { code: 'unauthenticated', title: 't' })),
    await failureOf(undefined, 50),
  ]
  for (const failure of failures) expect(describeFailure(failure)).not.toContain(TOKEN)
})

function pagesOf(count: number): (request: { url: string }) => StubAnswer {
  return ({ url }) => {
    const query = new URL(url, 'http://stub').searchParams
    const after = Number(query.get('after') ?? 0)
    const size = Math.min(Number(query.get('limit')), count - after)
    const items = Array.from({ length: Math.max(0, size) }, (_, index) => after + index + 1)
    return { body: { items, next: after + size < count ? after + size : null } }
  }
}

test('a long list is read over its pages, and no further than asked', async () => {
  await using stub = await startHttpStub(pagesOf(2_500))
  const all = await collect<number>(clientOf(stub.url), '/v1/x', {}, Infinity)
  expect(all.items.length).toBe(2_500)
  expect(all.next).toBe(null)
  const some = await collect<number>(clientOf(stub.url), '/v1/x', { after: 10 }, 1_005)
  expect(some.items.length).toBe(1_005)
  expect(some.next).toBe(1_015)
})

test.each([0, 1, 20, 1_024, 1_025, 123_456])('the newest of %d events is found', async (count) => {
  await using stub = await startHttpStub(pagesOf(count))
  expect(await findNewest(clientOf(stub.url))).toBe(count)
  expect(stub.requests.length).toBeLessThan(40)
})
