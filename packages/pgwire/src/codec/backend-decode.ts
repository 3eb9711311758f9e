/** Reads what an engine or another server answered: errors, tags, rows, and where one answer ends and the next begins. */
import type { ErrorFields } from '../errors.ts'
import { protocolViolation } from '../errors.ts'
import type { FieldDescription } from './backend-encode.ts'
import { readErrorFields } from './error-fields.ts'
import { forEachWholeMessage, int32, uint16 } from './for-each-message.ts'
import { Backend, type TransactionStatus } from './message-types.ts'
import { MessageReader } from './message-reader.ts'

/** The result of one statement. */
export interface StatementResult {
  /** Columns, or undefined if the statement returns none (or Describe was not part of what was asked). */
  readonly fields: readonly FieldDescription[] | undefined
  /** Values as text; null is SQL NULL. */
  readonly rows: readonly (readonly (string | null)[])[]
  /** Its command tag; undefined for an empty query or if it did not come to its end. */
  readonly tag: string | undefined
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The tag of the last CommandComplete, or undefined if there is none. @throws FATAL 08P01 if the output is cut off. */
export function commandTag(output: Uint8Array): string | undefined {
  const bytes = asBuffer(output)
  let tag: string | undefined
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type === Backend.commandComplete) tag = readTag(bytes, start, end)
  })
  return tag
}

/** How many rows a command tag says: `INSERT 0 3` → 3, `SELECT 2` → 2, `CREATE TABLE` → undefined. */
export function rowCountOfTag(tag: string): number | undefined {
  const last = /(?:^| )(\d+)$/.exec(tag)?.[1]
  return last === undefined ? undefined : Number(last)
}

const readTag = (bytes: Buffer, start: number, end: number): string =>
  new MessageReader(bytes, start + 5, end, 'CommandComplete').cstring()

/** The first ErrorResponse, or undefined if all went well. */
export function firstError(output: Uint8Array): ErrorFields | undefined {
  const bytes = asBuffer(output)
  let error: ErrorFields | undefined
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type !== Backend.errorResponse) return true
    error = readErrorFields(bytes, start, end)
    return false
  })
  return error
}

/** All notices, in order. */
export function noticesOf(output: Uint8Array): ErrorFields[] {
  const bytes = asBuffer(output)
  const notices: ErrorFields[] = []
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type === Backend.noticeResponse) notices.push(readErrorFields(bytes, start, end))
  })
  return notices
}

/** What the last ReadyForQuery says about the transaction, or undefined if there is none. */
export function transactionStatusOf(output: Uint8Array): TransactionStatus | undefined {
  let status: number | undefined
  forEachWholeMessage(output, (type, start) => {
    if (type === Backend.readyForQuery) status = output[start + 5]
  })
  return status === undefined ? undefined : (String.fromCharCode(status) as TransactionStatus)
}

/** All DataRows of the output, whichever statement they belong to, as texts. @throws 08P01 for columns in binary format. */
export function rowsOf(output: Uint8Array): (string | null)[][] {
  return resultsOf(output).flatMap((result) => result.rows as (string | null)[][])
}

/** The output statement by statement. @throws 08P01 for columns in binary format. */
export function resultsOf(output: Uint8Array): StatementResult[] {
  const bytes = asBuffer(output)
  const results: StatementResult[] = []
  let fields: FieldDescription[] | undefined
  let rows: (string | null)[][] = []
  let open = false
  const finish = (tag: string | undefined): void => {
    results.push({ fields, rows, tag })
    fields = undefined
    rows = []
    open = false
  }
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type === Backend.rowDescription) {
      fields = readRowDescription(bytes, start, end)
      open = true
    } else if (type === Backend.dataRow) {
      const binary = fields?.find((field) => field.format !== 0)
      if (binary !== undefined)
        throw protocolViolation(`column "${binary.name}" is in binary format; text was expected`)
      rows.push(readDataRow(bytes, start, end))
      open = true
    } else if (type === Backend.commandComplete) {
      finish(readTag(bytes, start, end))
    } else if (type === Backend.emptyQueryResponse || type === Backend.portalSuspended) {
      finish(undefined)
    } else if (type === Backend.errorResponse && open) {
      finish(undefined)
    }
  })
  if (open) finish(undefined)
  return results
}

export function readRowDescription(bytes: Buffer, start: number, end: number): FieldDescription[] {
  const reader = new MessageReader(bytes, start + 5, end, 'RowDescription')
  return Array.from({ length: reader.uint16() }, () => ({
    name: reader.cstring(),
    tableOid: reader.uint32(),
    column: reader.int16(),
    typeOid: reader.uint32(),
    typeSize: reader.int16(),
    typeModifier: reader.int32(),
    format: reader.int16(),
  }))
}

/** The values of a DataRow as texts. */
export function readDataRow(bytes: Buffer, start: number, end: number): (string | null)[] {
  if (end < start + 7) throw protocolViolation('a DataRow has no column count')
  const columns = uint16(bytes, start + 5)
  const row = new Array<string | null>(columns)
  let at = start + 7
  for (let column = 0; column < columns; column += 1) {
    const length = at + 4 <= end ? int32(bytes, at) : Number.NaN
    at += 4
    if (length === -1) {
      row[column] = null
      continue
    }
    if (!(length >= 0 && at + length <= end))
      throw protocolViolation(`column ${column + 1} of a DataRow is cut off`)
    row[column] = bytes.toString('utf8', at, at + length)
    at += length
  }
  return row
}

/** The values of a DataRow as views, without decoding. */
export function readDataRowBytes(bytes: Buffer, start: number, end: number): (Buffer | null)[] {
  const reader = new MessageReader(bytes, start + 5, end, 'DataRow')
  return Array.from({ length: reader.uint16() }, () => reader.lengthAndValue())
}

/** Parameter type OIDs of the first ParameterDescription, or undefined. */
export function parameterTypesOf(output: Uint8Array): number[] | undefined {
  const bytes = asBuffer(output)
  let types: number[] | undefined
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type !== Backend.parameterDescription) return true
    const reader = new MessageReader(bytes, start + 5, end, 'ParameterDescription')
    types = Array.from({ length: reader.uint16() }, () => reader.uint32())
    return false
  })
  return types
}

/** Columns of the first RowDescription, or undefined (NoData, or no Describe). */
export function fieldsOf(output: Uint8Array): FieldDescription[] | undefined {
  const bytes = asBuffer(output)
  let fields: FieldDescription[] | undefined
  forEachWholeMessage(bytes, (type, start, end) => {
    if (type !== Backend.rowDescription) return true
    fields = readRowDescription(bytes, start, end)
    return false
  })
  return fields
}
