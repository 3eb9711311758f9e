/** Errors as clients of the PostgreSQL protocol see them. */
import { errorCatalog as protocolErrors, isMirabelleError, type MirabelleError } from '@mirabelle/messages'

export interface SqlErrorFields {
  readonly detail?: string
  readonly hint?: string
  /** Character of the statement, from 1. */
  readonly position?: number
}

/** An error that goes to a client: SQLSTATE, sentence, detail, hint; or a whole ErrorResponse that a segment wrote. */
export class SqlError extends Error {
  override readonly name = 'SqlError'
  readonly sqlstate: string
  readonly detail: string | undefined
  readonly hint: string | undefined
  readonly position: number | undefined
  /** The ErrorResponse message to pass on untouched, when a PostgreSQL engine wrote it. */
  readonly wire: Uint8Array | undefined

  constructor(
    sqlstate: string,
    message: string,
    fields: SqlErrorFields & { cause?: unknown; wire?: Uint8Array } = {},
  ) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.sqlstate = sqlstate
    this.detail = fields.detail
    this.hint = fields.hint
    this.position = fields.position
    this.wire = fields.wire
  }

  /** An ErrorResponse message from an engine. */
  static fromBytes(wire: Uint8Array): SqlError {
    return new SqlError('XX000', 'error of a segment', { wire })
  }

  /** The client's view of a cluster error. */
  static from(error: MirabelleError): SqlError {
    const entry: { sentence: string; sqlstate?: string } = protocolErrors[error.code]
    return new SqlError(entry.sqlstate ?? 'XX000', error.message, { hint: entry.sentence, cause: error })
  }

  /** Anything caught, as an error for the client. Unexpected ones become XX000 without inner details. */
  static wrap(error: unknown): SqlError {
    if (error instanceof SqlError) return error
    if (isMirabelleError(error)) return SqlError.from(error)
    return new SqlError('XX000', error instanceof Error ? error.message : String(error), { cause: error })
  }
}
