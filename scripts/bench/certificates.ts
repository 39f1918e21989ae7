import { generateKeyPairSync, sign, randomBytes, X509Certificate } from 'node:crypto'
import forge from 'node-forge'
import { measure, type Post } from './load.ts'

/** Connections, and certificates in a task. */
const LOADS = [
  [1, 1],
  [16, 1],
  [32, 1],
  [1, 10],
  [16, 10],
] as const
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const { asn1, pki } = forge
const { Class, Type } = asn1
// The types of node-forge do not know of it.
const { getTBSCertificate } = pki as unknown as {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1
}

/** Certificates a second, in tasks with one or ten of them, beside node-forge and node:crypto alone. */
export async function benchCertificates(post: Post, quick: boolean): Promise<void> {
  console.log('\nCertificates: POST /v1/tasks with x509 grants, beside forge + crypto alone in one process')
  const rows: Record<string, string>[] = []
  for (const [connections, perTask] of LOADS) {
    const tasks = (connections === 1 ? 400 : 2_000) / perTask / (quick ? 4 : 1)
    const grants = Array.from({ length: perTask }, () => ({ resource: 'api', access: 'client' }))
    const open = async (): Promise<void> => {
      const { status, body } = await post('/v1/tasks', { purpose: 'bench', grants })
      if (status !== 201) throw new Error(body)
    }
    await measure(20, connections, open)
    const raw = rawCertificates(tasks * perTask)
    const broker = await measure(tasks, connections, open)
    const perSecond = broker.perSecond * perTask
    rows.push({
      connections: String(connections),
      'a task has': String(perTask),
      'raw/s': raw.toFixed(0),
      'certificates/s': perSecond.toFixed(0),
      ratio: (perSecond / raw).toFixed(2),
      'p50 ms': broker.p50Ms.toFixed(1),
      'p99 ms': broker.p99Ms.toFixed(1),
    })
  }
  console.table(rows)
}

/** A key pair, a certificate for it and its PEM, again and again; how many a second. */
function rawCertificates(count: number): number {
  const ca = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const started = performance.now()
  for (let made = 0; made < count; made += 1) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const tbs = toBeSigned(publicKey.export({ type: 'spki', format: 'der' }))
    const signature = sign('sha256', Buffer.from(asn1.toDer(tbs).getBytes(), 'latin1'), ca.privateKey)
    const bits = `\u0000${signature.toString('latin1')}`
    const certificate = sequence(tbs, ecdsa(), asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, bits))
    const der = Buffer.from(asn1.toDer(certificate).getBytes(), 'latin1')
    new X509Certificate(der).toString()
    privateKey.export({ type: 'pkcs8', format: 'pem' })
  }
  return (count / (performance.now() - started)) * 1000
}

function sequence(...parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts)
}

function ecdsa(): forge.asn1.Asn1 {
  const id = asn1.oidToDer(ECDSA_WITH_SHA256).getBytes()
  return sequence(asn1.create(Class.UNIVERSAL, Type.OID, false, id))
}

/** forge builds it around an RSA key, and gets the EC key in its place. */
function toBeSigned(spki: Buffer): forge.asn1.Asn1 {
  const certificate = pki.createCertificate()
  certificate.serialNumber = `01${randomBytes(19).toString('hex')}`
  certificate.validity.notBefore = new Date()
  certificate.validity.notAfter = new Date(Date.now() + 3_600_000)
  certificate.setSubject([{ shortName: 'CN', value: 'bench' }])
  certificate.setIssuer([{ shortName: 'CN', value: 'authority' }])
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', clientAuth: true },
    { name: 'subjectAltName', altNames: [{ type: 6, value: 'spiffe://example.com/bench' }] },
  ])
  certificate.publicKey = PLACEHOLDER
  Object.assign(certificate, { siginfo: { algorithmOid: ECDSA_WITH_SHA256 } })
  const tbs = getTBSCertificate(certificate)
  const parts = tbs.value as forge.asn1.Asn1[]
  parts[6] = asn1.fromDer(spki.toString('latin1'))
  return tbs
}

const PLACEHOLDER = pki.setRsaPublicKey(new forge.jsbn.BigInteger('3233'), new forge.jsbn.BigInteger('17'))
