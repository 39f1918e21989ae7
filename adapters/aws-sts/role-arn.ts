/** `arn:<partition>:iam::<account>:role/<path><name>`; paths and names as IAM takes them. */
export const ROLE_ARN = /^arn:aws[a-z-]{0,20}:iam::(\d{12}):role\/(?:[\w+=,.@-]+\/)*([\w+=,.@-]{1,64})$/

export interface RoleName {
  /** 12 digits. */
  readonly account: string
  /** Without its path, as the API of IAM names it: names are unique in an account, whatever their paths. */
  readonly name: string
}

/** @param arn matches {@link ROLE_ARN} */
export function roleNameOf(arn: string): RoleName {
  const [, account = '', name = ''] = ROLE_ARN.exec(arn) ?? []
  return { account, name }
}
