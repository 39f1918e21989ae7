import type { RevocationList, WithdrawnEntry, WithdrawnList } from '../../broker/adapter.ts'
import { signed } from './certificate.ts'
import { encoded, integer, integerFromHex, sequence, sequenceOfEncoded, tagged, time } from './der.ts'
import { authorityKeyIdentifier, extension } from './extensions.ts'
import type { Ca } from './ca.ts'
import { BACKDATE_MS } from './issue.ts'
import { OID } from './oids.ts'
import type { Signer } from './signature.ts'

const VERSION_2 = 1

/** Entries in DER, by serial: a list that grows by one is not encoded anew. */
export type EncodedEntries = Map<string, string>

/**
 * Signs a list. No reason is given with an entry: that a task is over says nothing of its key.
 * https://www.rfc-editor.org/rfc/rfc5280#section-5
 */
export function signCrl(
  ca: Ca,
  signer: Signer,
  list: WithdrawnList,
  lifetimeSeconds: number,
  cache: EncodedEntries,
): RevocationList {
  const nextUpdate = new Date(Math.ceil(list.takenAt.getTime() / 1000 + lifetimeSeconds) * 1000)
  const tbs = sequence(
    integer(VERSION_2),
    signer.algorithm,
    ca.name,
    time(new Date(list.takenAt.getTime() - BACKDATE_MS)),
    time(nextUpdate),
    // An empty list is left out: https://www.rfc-editor.org/rfc/rfc5280#section-5.1.2.6
    ...(list.entries.length === 0 ? [] : [sequenceOfEncoded(encodeEntries(list.entries, cache))]),
    tagged(
      0,
      sequence(authorityKeyIdentifier(ca.keyIdentifier), extension(OID.crlNumber, integer(list.number))),
    ),
  )
  return { der: signed(tbs, signer), nextUpdate }
}

function encodeEntries(entries: readonly WithdrawnEntry[], cache: EncodedEntries): string[] {
  const current = entries.map(
    (entry) => [entry.serial, cache.get(entry.serial) ?? encodeEntry(entry)] as const,
  )
  cache.clear()
  for (const [serial, der] of current) cache.set(serial, der)
  return current.map(([, der]) => der)
}

function encodeEntry({ serial, withdrawnAt }: WithdrawnEntry): string {
  return encoded(sequence(integerFromHex(serial), time(withdrawnAt)))
}
