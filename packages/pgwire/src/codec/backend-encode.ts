/** Writes messages as a server sends them. Each function returns a buffer of its own; messages without a body are shared. */
import { Backend, PROTOCOL_MAJOR, type TransactionStatus } from './message-types.ts'
import { encode } from './message-writer.ts'

/** A column of a RowDescription. */
export interface FieldDescription {
  readonly name: string
  /** OID of the table that the column comes from, or 0. */
  readonly tableOid: number
  /** Attribute number in that table, or 0. */
  readonly column: number
  readonly typeOid: number
  /** -1 and -2 for types of variable length. */
  readonly typeSize: number
  readonly typeModifier: number
  /** 0 text, 1 binary. */
  readonly format: number
}

/** A column of type `text` (or of another type, by its OID) that comes from no table. */
export function textField(name: string, typeOid = 25, typeSize = -1): FieldDescription {
  return { name, tableOid: 0, column: 0, typeOid, typeSize, typeModifier: -1, format: 0 }
}

const empty = (type: number): Buffer => Buffer.from([type, 0, 0, 0, 4])

/** Messages without a body. They are shared: never change them. */
export const PARSE_COMPLETE: Buffer = empty(Backend.parseComplete)
export const BIND_COMPLETE: Buffer = empty(Backend.bindComplete)
export const CLOSE_COMPLETE: Buffer = empty(Backend.closeComplete)
export const NO_DATA: Buffer = empty(Backend.noData)
export const PORTAL_SUSPENDED: Buffer = empty(Backend.portalSuspended)
export const EMPTY_QUERY_RESPONSE: Buffer = empty(Backend.emptyQueryResponse)
export const COPY_DONE: Buffer = empty(Backend.copyDone)

const READY: Record<TransactionStatus, Buffer> = {
  I: Buffer.from([Backend.readyForQuery, 0, 0, 0, 5, 0x49]),
  T: Buffer.from([Backend.readyForQuery, 0, 0, 0, 5, 0x54]),
  E: Buffer.from([Backend.readyForQuery, 0, 0, 0, 5, 0x45]),
}

/** ReadyForQuery; the buffer is shared: never change it. */
export function readyForQuery(status: TransactionStatus): Buffer {
  return READY[status]
}

export function rowDescription(fields: readonly FieldDescription[]): Buffer {
  return encode((writer) => {
    writer.begin(Backend.rowDescription).int16(fields.length)
    for (const field of fields) {
      writer.cstring(field.name).int32(field.tableOid).int16(field.column)
      writer.int32(field.typeOid).int16(field.typeSize).int32(field.typeModifier).int16(field.format)
    }
    writer.end()
  })
}

/** A row: texts are written as UTF-8, bytes as they are, null as SQL NULL. */
export function dataRow(values: readonly (string | Uint8Array | null)[]): Buffer {
  return encode((writer) => {
    writer.begin(Backend.dataRow).int16(values.length)
    for (const value of values) writer.lengthAndValue(value)
    writer.end()
  })
}

/** The command tag: `INSERT 0 1`, `SELECT 3`, … */
export function commandComplete(tag: string): Buffer {
  return encode((writer) => writer.begin(Backend.commandComplete).cstring(tag).end())
}

export function parameterStatus(name: string, value: string): Buffer {
  return encode((writer) => writer.begin(Backend.parameterStatus).cstring(name).cstring(value).end())
}

export function parameterDescription(typeOids: readonly number[]): Buffer {
  return encode((writer) => {
    writer.begin(Backend.parameterDescription).int16(typeOids.length)
    for (const oid of typeOids) writer.int32(oid)
    writer.end()
  })
}

/** The key with which this session can be cancelled: 4 bytes in protocol 3.0, up to 256 in 3.2. */
export function backendKeyData(pid: number, secret: Uint8Array): Buffer {
  return encode((writer) => writer.begin(Backend.backendKeyData).int32(pid).raw(secret).end())
}

/** Answers a client that asked for a newer 3.x, or for `_pq_.` options that are not known here. */
export function negotiateProtocolVersion(minor: number, unknownOptions: readonly string[]): Buffer {
  return encode((writer) => {
    writer.begin(Backend.negotiateProtocolVersion).int32((PROTOCOL_MAJOR << 16) | minor)
    writer.int32(unknownOptions.length)
    for (const option of unknownOptions) writer.cstring(option)
    writer.end()
  })
}

/** Starts a COPY FROM STDIN of `columns` columns; format 0 text, 1 binary. */
export function copyInResponse(format: 0 | 1, columns: number): Buffer {
  return copyResponse(Backend.copyInResponse, format, columns)
}

/** Starts a COPY TO STDOUT of `columns` columns; format 0 text, 1 binary. */
export function copyOutResponse(format: 0 | 1, columns: number): Buffer {
  return copyResponse(Backend.copyOutResponse, format, columns)
}

function copyResponse(type: number, format: 0 | 1, columns: number): Buffer {
  return encode((writer) => {
    writer.begin(type).int8(format).int16(columns)
    for (let column = 0; column < columns; column += 1) writer.int16(format)
    writer.end()
  })
}

/** CopyData is the same message in both directions. */
export function copyData(data: Uint8Array): Buffer {
  return encode((writer) => writer.begin(Backend.copyData).raw(data).end())
}

export function notificationResponse(pid: number, channel: string, payload: string): Buffer {
  return encode((writer) =>
    writer.begin(Backend.notificationResponse).int32(pid).cstring(channel).cstring(payload).end(),
  )
}

const AUTHENTICATION = { ok: 0, sasl: 10, saslContinue: 11, saslFinal: 12 } as const

export function authenticationOk(): Buffer {
  return encode((writer) => writer.begin(Backend.authentication).int32(AUTHENTICATION.ok).end())
}

export function authenticationSasl(mechanisms: readonly string[]): Buffer {
  return encode((writer) => {
    writer.begin(Backend.authentication).int32(AUTHENTICATION.sasl)
    for (const mechanism of mechanisms) writer.cstring(mechanism)
    writer.int8(0).end()
  })
}

export function authenticationSaslContinue(data: string): Buffer {
  return encode((writer) =>
    writer.begin(Backend.authentication).int32(AUTHENTICATION.saslContinue).text(data).end(),
  )
}

export function authenticationSaslFinal(data: string): Buffer {
  return encode((writer) =>
    writer.begin(Backend.authentication).int32(AUTHENTICATION.saslFinal).text(data).end(),
  )
}
