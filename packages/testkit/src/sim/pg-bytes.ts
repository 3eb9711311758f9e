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
  const parts: Uint8Array[] = []
  return {
    rows(values) {
      for (const value of values) {
        const text = Buffer.from(value)
        const row = Buffer.allocUnsafe(HEAD_BYTES + 6 + text.length)
        writeHead(row, 'D')
        row.writeUInt16BE(1, HEAD_BYTES)
        row.writeInt32BE(text.length, HEAD_BYTES + 2)
        row.set(text, HEAD_BYTES + 6)
        parts.push(row)
      }
      parts.push(shortMessage('C', `SELECT ${values.length}\0`))
    },
    complete(tag) {
      parts.push(shortMessage('C', `${tag}\0`))
    },
    error(sqlstate, text) {
      const body = Buffer.from(`SERROR\0VERROR\0C${sqlstate}\0M${text}\0\0`)
      const message = Buffer.allocUnsafe(HEAD_BYTES + body.length)
      writeHead(message, 'E')
      message.set(body, HEAD_BYTES)
      parts.push(message)
    },
    ready(txStatus) {
      parts.push(shortMessage('Z', txStatus))
      return Buffer.concat(parts)
    },
  }
}

const HEAD_BYTES = 5

function writeHead(message: Buffer, type: string): void {
  message[0] = type.charCodeAt(0)
  message.writeUInt32BE(message.length - 1, 1)
}

/** Messages of a few kinds that come again and again; nobody changes them. */
const shortMessages = new Map<string, Uint8Array>()

function shortMessage(type: string, text: string): Uint8Array {
  const key = type + text
  let message = shortMessages.get(key)
  if (message === undefined) {
    const made = Buffer.alloc(HEAD_BYTES + text.length, 0)
    writeHead(made, type)
    made.write(text, HEAD_BYTES, 'latin1')
    message = made
    shortMessages.set(key, message)
  }
  return message
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
