/**
 * The instance's own SQL (slot, CHECKPOINT, VACUUM): one simple Query, its text answer decoded. A few statements a minute run
 * through here; nothing of a client ever does.
 */
import { MirabelleError } from '@mirabelle/messages'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A Query message. */
export function queryMessage(sql: string): Uint8Array {
  const text = encoder.encode(sql)
  const bytes = new Uint8Array(text.length + 6)
  bytes[0] = 0x51
  new DataView(bytes.buffer).setInt32(1, text.length + 5)
  bytes.set(text, 5)
  return bytes
}

/** Rows of a text answer: a list of columns each, null for NULL. */
export type TextRows = readonly (readonly (string | null)[])[]

/** Decodes the answer to a Query. Throws `internal` with PostgreSQL's sentence and SQLSTATE when it holds an ErrorResponse. */
export function decodeAnswer(sql: string, output: Uint8Array): TextRows {
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength)
  const rows: (string | null)[][] = []
  let at = 0
  while (at + 5 <= output.length) {
    const type = String.fromCharCode(output[at] as number)
    const end = at + 1 + view.getInt32(at + 1)
    if (type === 'D') rows.push(decodeRow(view, output, at + 5))
    if (type === 'E') {
      const fields = decodeFields(output.subarray(at + 5, end))
      throw new MirabelleError(
        'internal',
        `${sql}: ${fields.get('M') ?? 'unknown error'} (${fields.get('C') ?? '?????'})`,
        { detail: { sqlstate: fields.get('C') ?? null } },
      )
    }
    at = end
  }
  return rows
}

function decodeRow(view: DataView, output: Uint8Array, start: number): (string | null)[] {
  const columns: (string | null)[] = []
  const count = view.getInt16(start)
  let at = start + 2
  for (let i = 0; i < count; i++) {
    const length = view.getInt32(at)
    at += 4
    if (length < 0) columns.push(null)
    else {
      columns.push(decoder.decode(output.subarray(at, at + length)))
      at += length
    }
  }
  return columns
}

function decodeFields(body: Uint8Array): Map<string, string> {
  const fields = new Map<string, string>()
  for (const part of decoder.decode(body).split('\0')) {
    if (part.length > 1) fields.set(part.charAt(0), part.slice(1))
  }
  return fields
}
