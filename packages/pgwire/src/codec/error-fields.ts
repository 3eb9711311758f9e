/** ErrorResponse and NoticeResponse, both ways: they share their fields. */
import type { ErrorFields, Severity } from '../errors.ts'
import { Backend } from './message-types.ts'
import { encode } from './message-writer.ts'
import { MessageReader } from './message-reader.ts'

type FieldName = keyof ErrorFields

const FIELD_CODES: readonly (readonly [string, FieldName])[] = [
  ['C', 'code'],
  ['M', 'message'],
  ['D', 'detail'],
  ['H', 'hint'],
  ['P', 'position'],
  ['p', 'internalPosition'],
  ['q', 'internalQuery'],
  ['W', 'where'],
  ['s', 'schema'],
  ['t', 'table'],
  ['c', 'column'],
  ['d', 'dataType'],
  ['n', 'constraint'],
  ['F', 'file'],
  ['L', 'line'],
  ['R', 'routine'],
]
const NAME_OF = new Map(FIELD_CODES)
const NUMERIC: ReadonlySet<FieldName> = new Set(['position', 'internalPosition', 'line'])

/** An ErrorResponse; severity defaults to ERROR. NUL characters in texts are dropped: the protocol cannot carry them. */
export function errorResponse(fields: Omit<ErrorFields, 'severity'> & { severity?: Severity }): Buffer {
  return encodeFields(Backend.errorResponse, { severity: 'ERROR', ...fields })
}

/** A NoticeResponse; severity defaults to NOTICE. */
export function noticeResponse(fields: Omit<ErrorFields, 'severity'> & { severity?: Severity }): Buffer {
  return encodeFields(Backend.noticeResponse, { severity: 'NOTICE', ...fields })
}

function encodeFields(type: number, fields: ErrorFields): Buffer {
  return encode((writer) => {
    // V is the severity that is never translated; drivers prefer it to S.
    writer.begin(type).text('S').cstring(fields.severity).text('V').cstring(fields.severity)
    for (const [code, name] of FIELD_CODES) {
      const value = fields[name]
      if (value !== undefined) writer.text(code).cstring(String(value).replaceAll('\0', ''))
    }
    writer.int8(0).end()
  })
}

/**
 * Reads the ErrorResponse or NoticeResponse whose first byte is at `start` and whose last is before `end`.
 * Fields that are not known here are left out, as the protocol asks for.
 */
export function readErrorFields(bytes: Buffer, start: number, end: number): ErrorFields {
  const reader = new MessageReader(bytes, start + 5, end, 'ErrorResponse')
  const fields: Partial<Record<FieldName, string | number>> = {}
  let severity = 'ERROR'
  for (let code = reader.uint8(); code !== 0; code = reader.uint8()) {
    const letter = String.fromCharCode(code)
    const value = reader.cstring()
    if (letter === 'V' || (letter === 'S' && fields.severity === undefined)) {
      severity = value
      if (letter === 'V') fields.severity = value
      continue
    }
    const name = NAME_OF.get(letter)
    if (name !== undefined) fields[name] = NUMERIC.has(name) ? Number(value) : value
  }
  return { code: 'XX000', message: '', ...fields, severity: severity as Severity } as ErrorFields
}
