import { findVisibleGrant } from '../../grants/find-grant.ts'
import { listGrants } from '../../grants/grant-overview-store.ts'
import { renewGrant } from '../../grants/renew-grant.ts'
import { revokeGrant } from '../../grants/revoke-grant.ts'
import { findTasks } from '../../tasks/task-store.ts'
import { mayRead, ownerFilter } from '../../tasks/readable-task.ts'
import * as answers from '../answer-schemas.ts'
import { route, type Route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { grantView, pageView } from '../views.ts'

export const grantRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/v1/grants',
    operationId: 'listGrants',
    summary: 'List grants, newest first',
    query: schemas.grantQuery,
    answers: { 200: { description: 'One page', schema: answers.pageOf(answers.grantAnswer) } },
    async handle({ core, query: { limit, after, ...filter } }, caller) {
      const grants = await listGrants(core.db.auto, { ...filter, ...ownerFilter(core, caller) }, after, limit)
      const tasks = await findTasks(core.db.auto, [...new Set(grants.map(({ taskId }) => taskId))])
      const readable = new Set(
        [...tasks.values()].filter((task) => mayRead(core, caller, task)).map(({ id }) => id),
      )
      const page = pageView(
        grants,
        limit,
        (grant) => grant.id,
        (grant) => grantView(core, grant),
        (grant) => readable.has(grant.taskId),
      )
      return { status: 200, body: page }
    },
  }),
  route({
    method: 'get',
    path: '/v1/grants/{id}',
    operationId: 'getGrant',
    summary: 'One grant',
    params: schemas.idParams,
    answers: { 200: { description: 'The grant', schema: answers.grantAnswer } },
    async handle({ core, params }, caller) {
      const { grant } = await findVisibleGrant(core, caller, params.id)
      return { status: 200, body: grantView(core, grant) }
    },
  }),
  route({
    method: 'post',
    path: '/v1/grants/{id}/renew',
    operationId: 'renewGrant',
    summary: 'Move the end of a grant, within policy and task',
    params: schemas.idParams,
    body: schemas.renewBody,
    answers: { 200: { description: 'The grant', schema: answers.grantAnswer } },
    async handle({ core, params, body }, caller) {
      return {
        status: 200,
        body: grantView(core, await renewGrant(core, caller, params.id, body?.ttlSeconds)),
      }
    },
  }),
  route({
    method: 'post',
    path: '/v1/grants/{id}/revoke',
    operationId: 'revokeGrant',
    summary: 'Withdraw one grant',
    params: schemas.idParams,
    query: schemas.waitQuery,
    body: schemas.revokeGrantBody,
    answers: {
      200: { description: 'Access has ended', schema: answers.grantAnswer },
      202: { description: 'Access is still to end', schema: answers.grantAnswer },
    },
    async handle({ core, params, query, body }, caller) {
      const grant = await revokeGrant(core, caller, params.id, { reason: body?.reason, ...query })
      return { status: grant.state === 'revoked' ? 200 : 202, body: grantView(core, grant) }
    },
  }),
]
