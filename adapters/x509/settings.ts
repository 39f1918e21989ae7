import { z } from 'zod'
import { Secret } from '../../broker/secret.ts'

const path = z.string().min(1).max(4096)
const passphrase = z
  .string()
  .min(1)
  .transform((text) => new Secret(text))
  .optional()

const keyFiles = z.strictObject({ certFile: path, keyFile: path, passphrase })
const ocsp = keyFiles.optional()
const caFiles = z.strictObject({ certFile: path, keyFile: path, passphrase, ocsp })
const acceptedFiles = z.strictObject({ certFile: path, keyFile: path.optional(), passphrase, ocsp })

/** A name of labels, lower-case; with `*.` in front it stands for any one label there. */
const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const DNS_NAME = new RegExp(`^${label}(\\.${label})*$`)
const DNS_PATTERN = new RegExp(`^(\\*\\.)?${label}(\\.${label})*$`)
/** What ends like this is read as an IPv4 address. https://url.spec.whatwg.org/#ends-in-a-number-checker */
const ENDS_IN_NUMBER = /(^|\.)(\d+|0x[0-9a-f]*)$/

function hostName(form: RegExp, expected: string): z.ZodString {
  return z
    .string()
    .max(253)
    .regex(form, expected)
    .refine((name) => !ENDS_IN_NUMBER.test(name), 'expected a host name, not an IP address')
}

export const dnsName = hostName(DNS_NAME, 'expected a host name in lower case')

const MAX_LIFETIME_SECONDS = 7 * 24 * 3600
const lifetime = z.int().min(1).max(MAX_LIFETIME_SECONDS)

export const settings = z.strictObject({
  /** https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#21-trust-domain */
  trustDomain: z
    .string()
    .max(255)
    .regex(/^[a-z0-9._-]+$/, 'expected a trust domain such as example.com'),
  ca: z.union([z.strictObject({ createdInFolder: path }), caFiles], {
    error: 'expected { certFile, keyFile }, or { createdInFolder } for one that is made at the first start',
  }),
  accepted: z.array(acceptedFiles).max(4).default([]),
  revocation: z.enum(['listed', 'none']).default('listed'),
  crlSeconds: lifetime.default(3600),
  ocspSeconds: lifetime.default(60),
  organization: z
    .string()
    .max(64)
    .regex(/^[\p{L}\p{N} .,_&()-]+$/u, 'expected letters, digits and . , _ & ( ) -')
    .refine((name) => name === name.trim(), 'expected no blank at either end')
    .default('taskgrant'),
})

export const KEY_TYPES = ['ec-p256', 'ec-p384', 'ed25519', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const
export type KeyType = (typeof KEY_TYPES)[number]

export const access = z.strictObject({
  keyType: z.enum(KEY_TYPES).default('ec-p256'),
  usages: z
    .array(z.enum(['client', 'server']))
    .min(1)
    .refine((usages) => new Set(usages).size === usages.length, 'expected each usage once')
    .default(['client']),
  dnsNames: z
    .array(hostName(DNS_PATTERN, 'expected a host name, or *. and one, in lower case'))
    .max(64)
    .default([]),
})

export type Settings = z.output<typeof settings>
export type Access = z.output<typeof access>
