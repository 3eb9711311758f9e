/** Reads the bodies of messages that clients send. Strings are checked to be UTF-8; values are views, not copies. */
import { protocolViolation } from '../errors.ts'
import { HEADER_BYTES } from './frontend-parser.ts'
import { MessageReader } from './message-reader.ts'

/** What these functions need of a message: a `FrontendMessage` has it. */
interface Whole {
  readonly bytes: Buffer
}

export interface ParseFields {
  /** Name of the prepared statement; empty for the unnamed one. */
  readonly statement: string
  readonly query: string
  /** Type OIDs of the leading parameters; 0 leaves a type open. */
  readonly parameterTypes: readonly number[]
}

export interface BindFields {
  readonly portal: string
  readonly statement: string
  /** Format codes as sent: none (all text), one (for all) or one a parameter. 0 text, 1 binary. */
  readonly parameterFormats: readonly number[]
  /** Views into the message; null is SQL NULL. */
  readonly parameters: readonly (Buffer | null)[]
  readonly resultFormats: readonly number[]
}

/** A prepared statement (`S`) or a portal (`P`), as Describe and Close name it. */
export interface TargetFields {
  readonly kind: 'S' | 'P'
  readonly name: string
}

export interface ExecuteFields {
  readonly portal: string
  /** 0 for all rows. */
  readonly maxRows: number
}

const reader = (message: Whole, what: string): MessageReader =>
  new MessageReader(message.bytes, HEADER_BYTES, message.bytes.length, what)

/** The statement text of a Query message. */
export function readQuery(message: Whole): string {
  const fields = reader(message, 'Query')
  const text = fields.cstring()
  fields.finish()
  return text
}

export function readParse(message: Whole): ParseFields {
  const fields = reader(message, 'Parse')
  const statement = fields.cstring()
  const query = fields.cstring()
  const parameterTypes = Array.from({ length: fields.uint16() }, () => fields.uint32())
  fields.finish()
  return { statement, query, parameterTypes }
}

export function readBind(message: Whole): BindFields {
  const fields = reader(message, 'Bind')
  const portal = fields.cstring()
  const statement = fields.cstring()
  const parameterFormats = readFormats(fields)
  const parameters = Array.from({ length: fields.uint16() }, () => fields.lengthAndValue())
  const resultFormats = readFormats(fields)
  fields.finish()
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) {
    throw protocolViolation(
      `bind message has ${parameterFormats.length} parameter formats but ${parameters.length} parameters`,
    )
  }
  return { portal, statement, parameterFormats, parameters, resultFormats }
}

function readFormats(fields: MessageReader): number[] {
  return Array.from({ length: fields.uint16() }, () => {
    const format = fields.int16()
    if (format !== 0 && format !== 1) throw protocolViolation(`unsupported format code: ${format}`)
    return format
  })
}

export function readDescribe(message: Whole): TargetFields {
  return readTarget(message, 'Describe')
}

export function readClose(message: Whole): TargetFields {
  return readTarget(message, 'Close')
}

function readTarget(message: Whole, what: string): TargetFields {
  const fields = reader(message, what)
  const kind = String.fromCharCode(fields.uint8())
  if (kind !== 'S' && kind !== 'P') throw protocolViolation(`invalid ${what} message subtype "${kind}"`)
  const name = fields.cstring()
  fields.finish()
  return { kind, name }
}

export function readExecute(message: Whole): ExecuteFields {
  const fields = reader(message, 'Execute')
  const portal = fields.cstring()
  const maxRows = Math.max(fields.int32(), 0)
  fields.finish()
  return { portal, maxRows }
}

/** The reason that a client gives for ending a COPY FROM STDIN. */
export function readCopyFail(message: Whole): string {
  const fields = reader(message, 'CopyFail')
  const reason = fields.cstring()
  fields.finish()
  return reason
}

/** The data of a CopyData message, as a view. */
export function readCopyData(message: Whole): Buffer {
  return message.bytes.subarray(HEADER_BYTES)
}

/** Checks a message that has no body: Sync, Flush, CopyDone, Terminate. */
export function readEmpty(message: Whole): void {
  reader(message, String.fromCharCode(message.bytes[0]!)).finish()
}

/** The first message of a SASL exchange: the mechanism and, if the client sent one, its first response. */
export function readSaslInitialResponse(message: Whole): { mechanism: string; response: Buffer | null } {
  const fields = reader(message, 'SASLInitialResponse')
  const mechanism = fields.cstring()
  const response = fields.lengthAndValue()
  fields.finish()
  return { mechanism, response }
}

/** All later messages of a SASL exchange. */
export function readSaslResponse(message: Whole): Buffer {
  return message.bytes.subarray(HEADER_BYTES)
}
