import { createHash, createHmac, randomBytes, type KeyObject, type X509Certificate } from 'node:crypto'
import forge from 'node-forge'
import type { Secret } from '../../broker/secret.ts'
import {
  type Asn1,
  fromDer,
  integer,
  nothing,
  octetString,
  oid,
  sequence,
  set,
  tagged,
  toDer,
} from './der.ts'
import { OID } from './oids.ts'

const VERSION = 3
const MAC_KEY = 3
const MAC_BYTES = 32
/** The password is random: stretching it adds nothing, and whoever reads the file knows the number anyway. */
const MAC_ITERATIONS = 2_048
const SALT_BYTES = 16

/**
 * A PKCS #12 file: the private key, encrypted (PBES2, AES-256), the certificate and those above it, and a MAC over all
 * (HMAC-SHA-256). https://www.rfc-editor.org/rfc/rfc7292#section-4
 *
 * @param password ASCII
 */
export function pkcs12(
  key: KeyObject,
  certificates: readonly X509Certificate[],
  password: Secret<string>,
): Buffer {
  const passphrase = password.reveal()
  const [own] = certificates
  const localKeyId = createHash('sha1')
    .update(own?.raw ?? '')
    .digest()
  const shrouded = key.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase })
  const keyBag = bag(OID.shroudedKeyBag, fromDer(shrouded), localKeyId)
  const certBags = certificates.map((certificate) =>
    bag(
      OID.certBag,
      sequence(oid(OID.x509Certificate), tagged(0, octetString(certificate.raw))),
      certificate === own ? localKeyId : undefined,
    ),
  )
  const safe = toDer(sequence(...[certBags, [keyBag]].map((bags) => data(toDer(sequence(...bags))))))
  return toDer(sequence(integer(VERSION), data(safe), mac(safe, passphrase)))
}

function data(content: Uint8Array): Asn1 {
  return sequence(oid(OID.data), tagged(0, octetString(content)))
}

function bag(id: string, value: Asn1, localKeyId: Buffer | undefined): Asn1 {
  const attributes =
    localKeyId === undefined ? [] : [set(sequence(oid(OID.localKeyId), set(octetString(localKeyId))))]
  return sequence(oid(id), tagged(0, value), ...attributes)
}

function mac(content: Buffer, passphrase: string): Asn1 {
  const salt = randomBytes(SALT_BYTES)
  const derived = forge.pkcs12.generateKey(
    passphrase,
    forge.util.createBuffer(salt.toString('latin1')),
    MAC_KEY,
    MAC_ITERATIONS,
    MAC_BYTES,
    forge.md.sha256.create(),
  )
  const digest = createHmac('sha256', Buffer.from(derived.getBytes(), 'latin1')).update(content).digest()
  return sequence(
    sequence(sequence(oid(OID.sha256), nothing()), octetString(digest)),
    octetString(salt),
    integer(MAC_ITERATIONS),
  )
}
