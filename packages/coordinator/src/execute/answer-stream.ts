/** Reads the answers of an engine as they come: pieces cut anywhere go in, whole messages come out. No copying but of cut messages. */
import { forEachMessage } from '@mirabelle/pgwire'

/** Gets each whole message: `bytes[start]` is its type, its body lies from `start + 5` to `end`. */
export type VisitMessage = (type: number, bytes: Buffer, start: number, end: number) => void

export class AnswerStream {
  readonly #visit: VisitMessage
  #rest: Buffer | undefined

  constructor(visit: VisitMessage) {
    this.#visit = visit
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    const piece = asBuffer(chunk)
    const bytes = this.#rest === undefined ? piece : Buffer.concat([this.#rest, piece])
    this.#rest = undefined
    const end = forEachMessage(bytes, (type, start, stop) => this.#visit(type, bytes, start, stop))
    if (end < bytes.length) this.#rest = bytes.subarray(end)
  }
}

/** The same bytes as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
