import { createPublicKey, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import type { JsonObject } from '../../broker/json.ts'
import { CsrError, MAX_CSR_LENGTH, publicKeyOfCsr } from './csr.ts'
import { dnsName } from './settings.ts'

const MAX_NAMES = 16

/** Only the key of a request goes on: whatever else it holds is left behind here. */
const csr = z
  .string()
  .max(MAX_CSR_LENGTH, `expected at most ${MAX_CSR_LENGTH} characters`)
  .transform((pem, context): string => {
    try {
      return publicKeyOfCsr(pem).export({ type: 'spki', format: 'der' }).toString('base64')
    } catch (error) {
      const message = error instanceof CsrError ? error.message : 'it cannot be read'
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    }
  })

/** What callers may ask for with a grant: their own key, names that the access allows, and how they want the key. */
export function paramsOf(allowedNames: readonly string[]): z.ZodType<JsonObject> {
  return z
    .strictObject({
      csr: csr.optional(),
      dnsNames: z
        .array(
          dnsName.refine((name) => isAllowed(name, allowedNames), 'this access does not allow this name'),
        )
        .max(MAX_NAMES)
        .refine((names) => new Set(names).size === names.length, 'expected each name once')
        .default([]),
      format: z.enum(['pem', 'pkcs12']).default('pem'),
    })
    .refine(({ csr: own, format }) => own === undefined || format === 'pem', {
      path: ['format'],
      message: 'a PKCS #12 file holds a private key, and with a request of your own there is none',
    })
    .transform(({ csr: publicKey, dnsNames, format }) => ({
      dnsNames,
      format,
      ...(publicKey === undefined ? {} : { publicKey }),
    }))
}

function isAllowed(name: string, patterns: readonly string[]): boolean {
  const parent = name.slice(name.indexOf('.') + 1)
  return patterns.some((pattern) => pattern === name || (name.includes('.') && pattern === `*.${parent}`))
}

export interface Params {
  /** Undefined: a key is to be made. */
  readonly publicKey: KeyObject | undefined
  readonly dnsNames: readonly string[]
  readonly format: 'pem' | 'pkcs12'
}

const validated = z.object({
  publicKey: z.string().optional(),
  dnsNames: z.array(z.string()).default([]),
  format: z.enum(['pem', 'pkcs12']).default('pem'),
})

/** Params as they come out of {@link paramsOf}. */
export function readParams(params: JsonObject): Params {
  const { publicKey, ...rest } = validated.parse(params)
  if (publicKey === undefined) return { ...rest, publicKey }
  return {
    ...rest,
    publicKey: createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' }),
  }
}
