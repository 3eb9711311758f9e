/**
 * Results of finished requests that the worker has not reported yet, in shared memory, so that a worker which has to be
 * terminated in the middle of a later request takes no finished result with it.
 *
 * The worker appends at each end of a request and clears after each report; the main thread reads only after the worker
 * has ended. When it is full the worker reports at once.
 */
import type { Lsn } from '@mirabelle/messages'

/** Size of the journal, in bytes. Two full batches of small answers. */
export const JOURNAL_BYTES = 256 * 1024
const HEADER = 8
const RECORD_HEADER = 24

/** One finished request. */
export interface JournalRecord {
  readonly seq: number
  readonly lsn: Lsn
  /** Character code of the transaction status. */
  readonly status: number
  readonly output: Uint8Array
}

/** A list of records in a SharedArrayBuffer: [count, bytes used] and the records behind each other. */
export class ResultJournal {
  readonly buffer: SharedArrayBuffer
  readonly #head: Int32Array
  readonly #view: DataView
  readonly #bytes: Uint8Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(JOURNAL_BYTES)) {
    this.buffer = buffer
    this.#head = new Int32Array(buffer, 0, 2)
    this.#view = new DataView(buffer)
    this.#bytes = new Uint8Array(buffer)
  }

  /** Appends; false when there is no room. */
  append(seq: number, lsn: Lsn, status: number, output: Uint8Array): boolean {
    const at = HEADER + (this.#head[1] as number)
    const end = at + RECORD_HEADER + output.length
    if (end > this.buffer.byteLength) return false
    this.#view.setInt32(at, seq)
    this.#view.setInt32(at + 4, status)
    this.#view.setFloat64(at + 8, lsn)
    this.#view.setInt32(at + 16, output.length)
    this.#bytes.set(output, at + RECORD_HEADER)
    this.#head[1] = end - HEADER
    Atomics.add(this.#head, 0, 1)
    return true
  }

  clear(): void {
    this.#head[1] = 0
    Atomics.store(this.#head, 0, 0)
  }

  /** Copies out all records. */
  read(): JournalRecord[] {
    const records: JournalRecord[] = []
    let at = HEADER
    for (let left = Atomics.load(this.#head, 0); left > 0; left--) {
      const length = this.#view.getInt32(at + 16)
      const body = at + RECORD_HEADER
      records.push({
        seq: this.#view.getInt32(at),
        status: this.#view.getInt32(at + 4),
        lsn: this.#view.getFloat64(at + 8),
        output: this.#bytes.slice(body, body + length),
      })
      at = body + length
    }
    return records
  }
}
