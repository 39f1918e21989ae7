import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { certificateParts } from '../../adapters/x509/certificate-parts.ts'
import { distinguishedName, keyIdentifierOf, signed } from '../../adapters/x509/certificate.ts'
import { fromDer, integer, integerFromHex, sequence, tagged, time } from '../../adapters/x509/der.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  subjectKeyIdentifier,
  type KeyUsage,
} from '../../adapters/x509/extensions.ts'
import { randomSerial } from '../../adapters/x509/serial.ts'
import { signerOf } from '../../adapters/x509/signature.ts'

export interface TestIdentity {
  readonly certificate: X509Certificate
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export interface CertificateWish {
  readonly name: string
  /** Left out: signed by its own key. */
  readonly issuer?: TestIdentity
  readonly isCa?: boolean
  readonly keyUsages?: readonly KeyUsage[]
  readonly purposes?: readonly string[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly keys?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }
}

const DAY_MS = 86_400_000

/** Certificates as operators bring them, good ones and others. */
export function makeIdentity(wish: CertificateWish): TestIdentity {
  const keys = wish.keys ?? generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const spki = fromDer(keys.publicKey.export({ type: 'spki', format: 'der' }))
  const name = distinguishedName({ organization: 'test', commonName: wish.name })
  const above = wish.issuer === undefined ? undefined : certificateParts(wish.issuer.certificate.raw)
  const signer = signerOf(wish.issuer?.privateKey ?? keys.privateKey)
  const { purposes } = wish
  const extensions = [
    basicConstraints(wish.isCa ?? true),
    keyUsage(wish.keyUsages ?? ['keyCertSign', 'cRLSign']),
    subjectKeyIdentifier(keyIdentifierOf(spki)),
    ...(above === undefined ? [] : [authorityKeyIdentifier(keyIdentifierOf(above.publicKeyInfo))]),
    ...(purposes === undefined ? [] : [extendedKeyUsage(purposes)]),
  ]
  const tbs = sequence(
    tagged(0, integer(2)),
    integerFromHex(randomSerial()),
    signer.algorithm,
    above?.subject ?? name,
    sequence(
      time(wish.notBefore ?? new Date(Date.now() - DAY_MS)),
      time(wish.notAfter ?? new Date(Date.now() + DAY_MS)),
    ),
    name,
    spki,
    tagged(3, sequence(...extensions)),
  )
  return { certificate: new X509Certificate(signed(tbs, signer)), ...keys }
}

/** Writes a certificate with those above it, and the key. */
export async function writeIdentity(
  path: string,
  identity: TestIdentity,
  options: {
    readonly chain?: readonly TestIdentity[]
    readonly passphrase?: string
    readonly mode?: number
  } = {},
): Promise<{ certFile: string; keyFile: string }> {
  const files = { certFile: `${path}.pem`, keyFile: `${path}.key` }
  const { chain = [], passphrase, mode = 0o600 } = options
  await writeFile(
    files.certFile,
    [identity, ...chain].map(({ certificate }) => certificate.toString()).join(''),
  )
  const encryption = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }
  const key = identity.privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption })
  await writeFile(files.keyFile, key, { mode })
  return files
}
