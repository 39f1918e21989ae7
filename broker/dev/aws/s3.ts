import type { Account } from './account.ts'
import { AwsError } from './aws-error.ts'
import { isAllowed, type Caller } from './caller.ts'
import { splitTarget, type RawRequest } from './signature.ts'

export interface ObjectName {
  readonly bucket: string
  readonly key: string
}

/** What a request for an object is about, path style: `GET /<bucket>/<key>`. @throws {AwsError} */
export function objectNameOf({ method, target }: RawRequest): ObjectName {
  const [path, query] = splitTarget(target)
  const [, bucket = '', encodedKey = ''] = /^\/([a-z0-9.-]{3,63})\/(.+)$/s.exec(path) ?? []
  if (method !== 'GET' || bucket === '') {
    const message = 'The specified method is not allowed against this resource.'
    throw new AwsError(405, 'MethodNotAllowed', message)
  }
  // The SDK's own mark; every other field asks for something else than the object.
  if (query !== '' && query !== 'x-id=GetObject') {
    throw new AwsError(400, 'InvalidRequest', 'the emulator knows no parameters of GetObject')
  }
  return { bucket, key: decodeURIComponent(encodedKey) }
}

/** @throws {AwsError} AccessDenied, NoSuchKey */
export function getObject(account: Account, caller: Caller, { bucket, key }: ObjectName): string {
  const bucketArn = `arn:aws:s3:::${bucket}`
  if (!isAllowed(account, caller, 's3:GetObject', `${bucketArn}/${key}`)) throw denied()
  const content = account.objects.get(`${bucket}/${key}`)
  if (content !== undefined) return content
  // Whether a key exists is told only to who may list the bucket.
  if (!isAllowed(account, caller, 's3:ListBucket', bucketArn)) throw denied()
  throw new AwsError(404, 'NoSuchKey', 'The specified key does not exist.')
}

function denied(): AwsError {
  return new AwsError(403, 'AccessDenied', 'Access Denied')
}
