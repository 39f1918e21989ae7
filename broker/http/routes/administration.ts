import { listEvents } from '../../audit/audit-store.ts'
import { authorize, decide } from '../../policy/authorize.ts'
import { orderRevocation } from '../../tasks/order-revocation.ts'
import * as answers from '../answer-schemas.ts'
import { route, type Route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { pageView } from '../views.ts'

export const administrationRoutes: readonly Route[] = [
  route({
    method: 'post',
    path: '/v1/revocations',
    operationId: 'orderRevocation',
    summary: 'End everything of a workload, of a user, of a resource, or all',
    query: schemas.waitQuery,
    body: schemas.revocationBody,
    answers: {
      200: { description: 'Access has ended', schema: answers.revocationAnswer },
      202: { description: 'Some access is still to end', schema: answers.revocationAnswer },
    },
    async handle({ core, query, body: { reason, ...target } }, caller) {
      const revocation = await orderRevocation(core, caller, { target, reason, ...query })
      return { status: revocation.outstanding === 0 ? 200 : 202, body: revocation }
    },
  }),
  route({
    method: 'get',
    path: '/v1/audit',
    operationId: 'listAudit',
    summary: 'Audit events after a sequence number',
    query: schemas.auditQuery,
    answers: {
      200: {
        description: 'One page',
        schema: answers.pageOf(answers.eventAnswer, answers.eventAnswer.shape.id),
      },
    },
    async handle({ core, query: { limit, after, task, grant, ...filter } }, caller) {
      await authorize(core, caller, 'readAudit', { kind: 'broker' })
      const events = await listEvents(core.db.auto, { ...filter, taskId: task, grantId: grant }, after, limit)
      return {
        status: 200,
        body: pageView(
          events,
          limit,
          (event) => event.seq,
          (event) => event,
        ),
      }
    },
  }),
  route({
    method: 'get',
    path: '/v1/resources',
    operationId: 'listResources',
    summary: 'What this caller may ask for',
    query: schemas.noQuery,
    answers: {
      200: { description: 'Resources with their accesses', schema: answers.pageOf(answers.resourceAnswer) },
    },
    async handle({ core }, caller) {
      const items = [...core.resources.values()].map((resource) => ({
        resource: resource.name,
        adapter: resource.adapter.kind,
        guarantees: resource.adapter.guarantees,
        access: [...resource.accesses].flatMap(([access, { maxTtlSeconds }]) => {
          const decision = decide(core, caller, 'requestGrant', {
            kind: 'access',
            resource: resource.name,
            access,
          })
          const capped = Math.min(maxTtlSeconds, decision.maxTtlSeconds ?? Infinity)
          return decision.allowed ? [{ access, maxTtlSeconds: capped }] : []
        }),
      }))
      return { status: 200, body: { items: items.filter(({ access }) => access.length > 0), next: null } }
    },
  }),
]
