/** Always there: whoever opened a task may look at it and end it, unless a policy forbids even that. */
export const BUILTIN_POLICIES = `
@id("taskgrant:owner")
permit (principal, action in [Action::"readTask", Action::"endTask"], resource is Task)
when { resource.owner == principal && resource.owner.issuer == principal.issuer };
`
