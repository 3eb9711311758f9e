/** The little of PostgreSQL's protocol that the stand-in engine and its clients speak: Query in; rows, tags and errors out. */

const QUERY = 0x51

/** The texts of a run of Query messages. Throws a RangeError for anything else: the stand-in engine speaks no extended protocol. */
export function frontendQueries(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const texts: string[] = []
  for (let at = 0; at < buffer.length;) {
    if (buffer[at] !== QUERY)
      throw new RangeError(`the stand-in engine takes only Query, not type ${buffer[at]}`)
    const end = at + 1 + buffer.readUInt32BE(at + 1)
    texts.push(buffer.toString('utf8', at + 5, end - 1))
    at = end
  }
  return texts
}

const ERROR_RESPONSE = 0x45

/** True for an answer that begins with an ErrorResponse. */
export function isFailure(answer: Uint8Array): boolean {
  return answer[0] === ERROR_RESPONSE
}

export interface AnswerBuilder {
  rows(values: readonly string[]): void
  complete(tag: string): void
  error(sqlstate: string, message: string): void
  /** The whole answer, ended with ReadyForQuery. */
  ready(txStatus: 'I' | 'T' | 'E'): Uint8Array
}

export function answerBuilder(): AnswerBuilder {
  const parts: Buffer[] = []
  const message = (type: string, body: Buffer): void => {
    const head = Buffer.alloc(5)
    head.write(type, 0, 'latin1')
    head.writeUInt32BE(body.length + 4, 1)
    parts.push(head, body)
  }
  return {
    rows(values) {
      for (const value of values) {
        const text = Buffer.from(value)
        const head = Buffer.alloc(6)
        head.writeUInt16BE(1, 0)
        head.writeInt32BE(text.length, 2)
        message('D', Buffer.concat([head, text]))
      }
      message('C', Buffer.from(`SELECT ${values.length}\0`))
    },
    complete(tag) {
      message('C', Buffer.from(`${tag}\0`))
    },
    error(sqlstate, text) {
      message('E', Buffer.from(`SERROR\0VERROR\0C${sqlstate}\0M${text}\0\0`))
    },
    ready(txStatus) {
      message('Z', Buffer.from(txStatus))
      return Buffer.concat(parts)
    },
  }
}

/** A Query message. */
export function queryBytes(sql: string): Uint8Array {
  const text = Buffer.from(sql)
  const bytes = Buffer.alloc(text.length + 6)
  bytes[0] = QUERY
  bytes.writeUInt32BE(text.length + 5, 1)
  text.copy(bytes, 5)
  return bytes
}

/** The first column of all rows, or the SQLSTATE of the first error. */
export function readAnswer(output: Uint8Array): { rows: string[]; error: string | undefined } {
  const buffer = Buffer.from(output.buffer, output.byteOffset, output.byteLength)
  const rows: string[] = []
  let error: string | undefined
  for (let at = 0; at + 5 <= buffer.length; at += 1 + buffer.readUInt32BE(at + 1)) {
    if (buffer[at] === 0x44) {
      const length = buffer.readInt32BE(at + 7)
      rows.push(buffer.toString('utf8', at + 11, at + 11 + length))
    } else if (buffer[at] === 0x45) {
      error ??= /C([0-9A-Z]{5})\0/.exec(
        buffer.toString('latin1', at + 5, at + 1 + buffer.readUInt32BE(at + 1)),
      )?.[1]
    }
  }
  return { rows, error }
}
