/**
 * Always there: whoever opened a task may look at it and end it. An owner is known by its issuer as well, since two
 * issuers may know different workloads by the same id.
 */
export const BUILTIN_POLICIES = `
@id("taskgrant:owner")
permit (principal, action in [Action::"readTask", Action::"endTask"], resource is Task)
when { resource.owner == principal && resource.ownerIssuer == principal.issuer };
`
