/**
 * What policies can speak of. https://docs.cedarpolicy.com/schema/human-readable-schema.html
 *
 * A workload is `Workload::"<id>"`, and two issuers may give one id: a policy that trusts a name with several issuers
 * configured compares `principal.issuer` too. The owner or user of a task that shares its id, but not its issuer, with
 * the caller or its user is another entity than theirs, so `resource.owner == principal` means the same workload.
 * Groups are known of the principal only. Labels are tags of a task, and in the context strings `key=value`. Actors
 * are subjects, without their issuer.
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
entity Task in [Broker] { owner: Workload, purpose: String, onBehalfOf?: User } tags String;
action openTask, readAudit appliesTo { principal: Workload, resource: Broker, context: Asked };
action requestGrant, renewGrant, approve appliesTo { principal: Workload, resource: Access, context: Asked };
action endTask, readTask, revoke appliesTo { principal: Workload, resource: [Task, Broker], context: Asked };
`
