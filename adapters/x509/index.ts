import {
  AdapterError,
  type Adapter,
  type AdapterKind,
  type Authority,
  type Ledger,
  type ResourceSetup,
} from '../../broker/adapter.ts'
import { pem, type Ca } from './ca.ts'
import { caInFolder } from './create-ca.ts'
import { createCrlService, type CrlService } from './crl-service.ts'
import type { Handle } from './handle.ts'
import { issueCertificate, type Issuing } from './issue.ts'
import { loadCa } from './load-ca.ts'
import { answerOcsp } from './ocsp-service.ts'
import { paramsOf } from './params.ts'
import type { Locations } from './profile.ts'
import { revokeCertificates } from './revoke.ts'
import { access, settings, type Access, type Settings } from './settings.ts'
import { createStatusLookup } from './status-lookup.ts'
import { requireValid, requireValidResponder } from './validity.ts'

/** A certificate per grant. */
export const x509Adapter: AdapterKind<typeof settings, typeof access> = {
  kind: 'x509',
  settings,
  access,
  create: createX509Adapter,
}

/** @throws {AdapterError} if the files of an authority cannot be used */
export function createX509Adapter(setup: ResourceSetup<Settings, Access>): Adapter {
  const { resource, accesses, publicUrl, ledger } = setup
  const { trustDomain, organization, revocation, crlSeconds, ocspSeconds } = setup.settings
  const [ca, ...others] = loadCas(setup.settings)
  const cas = [ca, ...others]
  const isListed = revocation === 'listed'
  const lists = isListed ? crlServices(ledger, cas, crlSeconds) : new Map<string, CrlService>()
  const lookUps = new Map(cas.map(({ id }) => [id, createStatusLookup(ledger, id)]))
  const issuing: Issuing = {
    ca,
    resource,
    trustDomain,
    organization,
    locations: isListed && publicUrl !== undefined ? locationsOf(publicUrl, ca) : undefined,
    roots: pem([...new Map(cas.map(({ root }) => [root.fingerprint256, root])).values()]),
  }

  function accessOf(name: string): Access {
    const found = accesses.get(name)
    if (found !== undefined) return found
    throw new AdapterError('failed', 'there is no such access', { settled: true })
  }

  return {
    kind: 'x509',
    sideEffects: false,
    guarantees: { nativeExpiry: 'exact', revocation: isListed ? 'eventual' : 'expiry-only' },

    params: (name) => paramsOf(accessOf(name).dnsNames),

    plan: ({ grantId }) => ({ authority: ca.id, subject: grantId }) satisfies Handle,

    issue: (grant) => issueCertificate(issuing, grant, accessOf(grant.access)),

    revoke: (handles) =>
      revokeCertificates(
        {
          ledger,
          isListed,
          listing: new Set(lists.keys()),
          onWithdrawn: (authority) => lists.get(authority)?.invalidate(),
        },
        handles,
      ),

    async prune() {
      const expiredBefore = new Date(Date.now() - 2 * crlSeconds * 1000)
      for (const authority of lists.keys()) await fromStore(ledger.forget(authority, expiredBefore))
    },

    async check() {
      requireValid(ca)
      for (const one of cas) requireValidResponder(one)
      await fromStore(Promise.all([...lists.values()].map((list) => list.current())))
    },

    verification: {
      authorities: cas.map((one) => authorityOf(one, one === ca, lists.has(one.id))),

      async revocationList(authority) {
        const list = lists.get(authority)
        if (list !== undefined) return list.current()
        throw new AdapterError('failed', 'there is no list of this authority', { settled: true })
      },

      ocsp: async (request) => (isListed ? answerOcsp(request, cas, lookUps, ocspSeconds) : undefined),
    },

    [Symbol.asyncDispose]: async () => undefined,
  }
}

/** @throws {AdapterError} if the store does not do it */
async function fromStore(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    throw new AdapterError('unavailable', 'the store does not answer', { settled: false, cause: error })
  }
}

/** The authority that signs, then the others. */
function loadCas({ ca, accepted, organization }: Settings): [Ca, ...Ca[]] {
  const files = 'createdInFolder' in ca ? caInFolder(ca.createdInFolder, organization) : ca
  const cas: [Ca, ...Ca[]] = [loadCa(files), ...accepted.map(loadCa)]
  const twice = cas.find((one, index) => cas.findIndex(({ id }) => id === one.id) < index)
  if (twice === undefined) return cas
  throw new AdapterError('failed', `authority ${twice.id} is configured twice: name each key once`, {
    settled: true,
  })
}

function crlServices(
  ledger: Ledger,
  cas: readonly Ca[],
  lifetimeSeconds: number,
): ReadonlyMap<string, CrlService> {
  return new Map(
    cas.flatMap((ca) =>
      ca.signer === undefined
        ? []
        : [[ca.id, createCrlService({ ledger, ca, signer: ca.signer, lifetimeSeconds })]],
    ),
  )
}

function locationsOf(publicUrl: URL, { id }: Ca): Locations {
  const at = (path: string): string => new URL(path, publicUrl).href
  return {
    crl: at(`v1/crl.der?issuer=${id}`),
    ocsp: at('v1/ocsp'),
    caIssuers: at(`v1/ca.der?issuer=${id}`),
  }
}

function authorityOf(ca: Ca, signs: boolean, lists: boolean): Authority {
  const { id, certificate, intermediates, root } = ca
  const chain = new Map([...intermediates, root].map((one) => [one.fingerprint256, one]))
  return { id, certificates: pem([...chain.values()]), certificateDer: certificate.raw, signs, lists }
}
