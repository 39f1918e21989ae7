/**
 * What policies can speak of. Labels of a task are tags of the entity and, in the context, strings `key=value`.
 * https://docs.cedarpolicy.com/schema/human-readable-schema.html
 */
export const SCHEMA = `
type Asked = {
  purpose?: String,
  labels: Set<String>,
  ttlSeconds?: Long,
  onBehalfOf?: User,
  actors: Set<String>,
  time: datetime
};
entity Group;
entity Workload in [Group] { id: String, issuer: String, subject: String };
entity User { id: String, issuer: String, subject: String };
entity Broker;
entity Resource in [Broker] { name: String };
entity Access in [Resource] { resource: String, name: String };
entity Task in [Broker] { owner: Workload, ownerIssuer: String, purpose: String, onBehalfOf?: User } tags String;
action openTask, readAudit appliesTo { principal: Workload, resource: Broker, context: Asked };
action requestGrant, renewGrant, approve appliesTo { principal: Workload, resource: Access, context: Asked };
action endTask, readTask, revoke appliesTo { principal: Workload, resource: [Task, Broker], context: Asked };
`
