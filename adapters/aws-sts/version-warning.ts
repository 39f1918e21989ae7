const SWITCH = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'

/**
 * Builds a client of the SDK without the warning that the first one of a process gives on Node.js 20, about releases
 * of the SDK to come. The SDK looks at this variable while the client is built; nobody else gets to see it.
 */
export function withoutVersionWarning<Client>(build: () => Client): Client {
  const before = process.env[SWITCH]
  process.env[SWITCH] = 'true'
  try {
    return build()
  } finally {
    if (before === undefined) delete process.env[SWITCH]
    else process.env[SWITCH] = before
  }
}
