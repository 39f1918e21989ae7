import { AdapterError, type Ledger, type Revoked } from '../../broker/adapter.ts'
import { groupBy } from '../../broker/group-by.ts'
import type { JsonObject } from '../../broker/json.ts'
import { parseHandle, type Handle } from './handle.ts'

const ENDED: Revoked = { access: 'ended', removed: true }

export interface Revoking {
  readonly ledger: Ledger
  /** False: certificates of this resource end by their time alone. */
  readonly isListed: boolean
  /** Authorities whose lists this process signs. */
  readonly listing: ReadonlySet<string>
  /** Told when the lists of an authority are out of date. */
  readonly onWithdrawn: (authority: string) => void
}

type Signed = Handle & { readonly serial: string; readonly expiresAt: string }

/**
 * Withdraws certificates: from now on they are on the list of their authority, and OCSP says so.
 *
 * @throws {AdapterError} if the ledger cannot be written
 */
export async function revokeCertificates(
  revoking: Revoking,
  handles: readonly JsonObject[],
): Promise<readonly Revoked[]> {
  const parsed = handles.map(tryParse)
  // What has expired the ledger leaves out, by the store's clock: ours may be ahead.
  if (revoking.isListed) await withdraw(revoking, parsed.filter(isSigned))
  return parsed.map((handle) => outcomeOf(handle, revoking))
}

function tryParse(handle: JsonObject): Handle | AdapterError {
  try {
    return parseHandle(handle)
  } catch (error) {
    if (error instanceof AdapterError) return error
    throw error
  }
}

/** What was never signed was never handed out. */
function isSigned(handle: Handle | AdapterError): handle is Signed {
  if (handle instanceof AdapterError) return false
  return handle.serial !== undefined && handle.expiresAt !== undefined
}

async function withdraw({ ledger, onWithdrawn }: Revoking, handles: readonly Signed[]): Promise<void> {
  for (const [authority, own] of groupBy(handles, (handle) => handle.authority)) {
    const entries = own.map(({ serial, expiresAt }) => ({ serial, expiresAt: new Date(expiresAt) }))
    try {
      await ledger.withdraw(authority, entries)
    } catch (error) {
      throw new AdapterError('unavailable', 'the store did not record it', { settled: false, cause: error })
    }
    onWithdrawn(authority)
  }
}

function outcomeOf(handle: Handle | AdapterError, { isListed, listing }: Revoking): Revoked {
  if (handle instanceof AdapterError) return { access: 'open', error: handle }
  if (!isSigned(handle)) return ENDED
  const endsAt = new Date(handle.expiresAt)
  if (!isListed) return { access: 'expiring', endsAt }
  if (listing.has(handle.authority) || endsAt.getTime() <= Date.now()) return ENDED
  const message = `authority ${handle.authority} is not configured with its key any more: nobody signs its lists`
  return { access: 'open', error: new AdapterError('failed', message, { settled: true }) }
}
