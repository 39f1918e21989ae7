import { discardGrants } from '../../grants/discard-grants.ts'
import { grantsOfTask } from '../../grants/grant-store.ts'
import { issueGrant } from '../../grants/issue-grant.ts'
import { originOf, type Caller } from '../../caller.ts'
import type { Core } from '../../core.ts'
import { abandonTask } from '../../tasks/abandon-task.ts'
import { endTask, type EndOrder } from '../../tasks/end-task.ts'
import { mayRead, ownerFilter, readableTask } from '../../tasks/readable-task.ts'
import { requestHashOf, type Idempotency } from '../../tasks/idempotency.ts'
import { openTask } from '../../tasks/open-task.ts'
import { listTasks } from '../../tasks/task-store.ts'
import { listTrail } from '../../audit/audit-store.ts'
import { Secret } from '../../secret.ts'
import type { Authenticator } from '../../identity/authenticator.ts'
import * as answers from '../answer-schemas.ts'
import { route, type Answer, type Route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { grantView, mintedView, outstandingView, pageView, taskView } from '../views.ts'

const MAX_GRANTS = 10_000

function idempotencyOf(key: string | undefined, request: unknown): Idempotency | undefined {
  return key === undefined ? undefined : { key, requestHash: requestHashOf(request) }
}

async function end(core: Core, caller: Caller, id: string, order: EndOrder): Promise<Answer> {
  const { task, outstanding } = await endTask(core, caller, id, order)
  const body = {
    task: taskView(task),
    state: task.state,
    outstanding: outstanding.map(outstandingView),
  }
  return { status: task.state === 'ended' ? 200 : 202, body }
}

const ENDING = {
  200: { description: 'Access has ended', schema: answers.endingAnswer },
  202: {
    description: 'The task admits nothing any more; some access is still to end',
    schema: answers.endingAnswer,
  },
}

export function taskRoutes(authenticator: Authenticator): readonly Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/tasks',
      operationId: 'openTask',
      summary: 'Open a task, with all the grants asked for or not at all',
      mints: true,
      body: schemas.openTaskBody,
      answers: { 201: { description: 'The task and its credentials', schema: answers.openedAnswer } },
      async handle({ core, body, idempotencyKey }, caller) {
        const { onBehalfOf, parentTaskId: _none, ...wish } = body
        const delegation =
          onBehalfOf === undefined ? undefined : await authenticator.verifyUser(new Secret(onBehalfOf))
        const idempotency = idempotencyOf(idempotencyKey, { wish, delegation })
        const { task, attemptId, grants } = await openTask(core, caller, wish, delegation, idempotency)
        return {
          status: 201,
          headers: { Location: `/v1/tasks/${task.id}` },
          body: { task: taskView(task), grants: grants.map((minted) => mintedView(core, minted)) },
          undelivered: () =>
            abandonTask(
              core,
              { task, attemptId },
              grants.map(({ grant }) => grant),
              originOf(caller),
              'caller_gone',
            ),
        }
      },
    }),
    route({
      method: 'get',
      path: '/v1/tasks',
      operationId: 'listTasks',
      summary: 'List tasks, newest first',
      query: schemas.taskQuery,
      answers: { 200: { description: 'One page', schema: answers.pageOf(answers.taskAnswer) } },
      async handle({ core, query: { limit, after, ...filter } }, caller) {
        const tasks = await listTasks(core.db.auto, { ...filter, ...ownerFilter(core, caller) }, after, limit)
        const page = pageView(
          tasks,
          limit,
          (task) => task.id,
          taskView,
          (task) => mayRead(core, caller, task),
        )
        return { status: 200, body: page }
      },
    }),
    route({
      method: 'get',
      path: '/v1/tasks/{id}',
      operationId: 'getTask',
      summary: 'One task with its grants',
      params: schemas.idParams,
      answers: { 200: { description: 'The task', schema: answers.taskWithGrantsAnswer } },
      async handle({ core, params }, caller) {
        const task = await readableTask(core, caller, params.id)
        const grants = await grantsOfTask(core.db.auto, task.id, MAX_GRANTS)
        return {
          status: 200,
          body: { task: taskView(task), grants: grants.map((grant) => grantView(core, grant)) },
        }
      },
    }),
    route({
      method: 'post',
      path: '/v1/tasks/{id}/grants',
      operationId: 'addGrant',
      summary: 'One more grant in an open task',
      mints: true,
      params: schemas.idParams,
      body: schemas.grantWish,
      answers: { 201: { description: 'The grant and its credential', schema: answers.mintedAnswer } },
      async handle({ core, params, body, idempotencyKey }, caller) {
        const { task, minted } = await issueGrant(
          core,
          caller,
          params.id,
          body,
          idempotencyOf(idempotencyKey, body),
        )
        return {
          status: 201,
          headers: { Location: `/v1/grants/${minted.grant.id}` },
          body: mintedView(core, minted),
          undelivered: () =>
            discardGrants(core, task, [minted.grant], originOf(caller), { reason: 'caller_gone' }),
        }
      },
    }),
    route({
      method: 'post',
      path: '/v1/tasks/{id}/end',
      operationId: 'endTask',
      summary: 'The owner ends its task',
      params: schemas.idParams,
      query: schemas.waitQuery,
      body: schemas.endTaskBody,
      answers: ENDING,
      handle: ({ core, params, query }, caller) => end(core, caller, params.id, { kind: 'end', ...query }),
    }),
    route({
      method: 'post',
      path: '/v1/tasks/{id}/revoke',
      operationId: 'revokeTask',
      summary: 'An administrator ends a task',
      params: schemas.idParams,
      query: schemas.waitQuery,
      body: schemas.revokeBody,
      answers: ENDING,
      handle: ({ core, params, query, body }, caller) =>
        end(core, caller, params.id, { kind: 'revoke', ...query, ...body }),
    }),
    route({
      method: 'get',
      path: '/v1/tasks/{id}/trail',
      operationId: 'getTrail',
      summary: 'The audit events of one task, in order',
      params: schemas.idParams,
      query: schemas.trailQuery,
      answers: {
        200: {
          description: 'One page',
          schema: answers.pageOf(answers.eventAnswer, answers.eventAnswer.shape.id),
        },
      },
      async handle({ core, params, query }, caller) {
        const task = await readableTask(core, caller, params.id)
        const events = await listTrail(core.db.auto, task.id, query.after, query.limit)
        return {
          status: 200,
          body: pageView(
            events,
            query.limit,
            (event) => event.id,
            (event) => event,
          ),
        }
      },
    }),
  ]
}
