/** The policies of `taskgrant dev`, written to `$TASKGRANT_HOME/policies` once: from then on they are the user's. */
export const DEV_POLICIES = `// The policies of "taskgrant dev". Change them and start it again.

@id("dev-agents-open-tasks")
@description("MCP servers may open tasks")
permit (principal, action == Action::"openTask", resource)
when { principal.issuer == "urn:taskgrant:dev" && principal.id like "mcp-*" };

@id("dev-agents-get-grants")
@description("MCP servers may ask for every access of the demo resources")
permit (
  principal,
  action in [Action::"requestGrant", Action::"renewGrant"],
  resource
)
when {
  principal.issuer == "urn:taskgrant:dev" &&
  principal.id like "mcp-*" &&
  resource in [Resource::"shop-db", Resource::"internal-api", Resource::"aws-demo"]
};

@id("dev-administrators")
@description("Administrators may read and revoke everything")
permit (
  principal,
  action in [Action::"readTask", Action::"endTask", Action::"revoke", Action::"readAudit"],
  resource
)
when { principal.issuer == "urn:taskgrant:dev" && principal.id like "admin-*" };
`
