/** Why a token was refused: a fixed phrase that quotes nothing of the token. Becomes a `BrokerError` for the caller. */
export class Rejection extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'Rejection'
  }
}
