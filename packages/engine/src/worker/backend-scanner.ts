/**
 * Finds message borders in PostgreSQL's answers without decoding them: the runner must know when a request is over
 * (ReadyForQuery), whether it failed (ErrorResponse) and whether PostgreSQL waits for COPY data (CopyInResponse).
 *
 * Fed with chunks cut anywhere. Pure.
 */

const HEADER_BYTES = 5
const READY_FOR_QUERY = 0x5a
const ERROR_RESPONSE = 0x45
const COPY_IN_RESPONSE = 0x47

export interface ScanEvents {
  /** A ReadyForQuery ended at offset `end` of the chunk; `status` is its transaction status. */
  ready(end: number, status: number): void
  error(): void
  copyIn(): void
}

export class BackendScanner {
  readonly #events: ScanEvents
  /** Bytes of the current message that are still to come, header not counted. */
  #bodyLeft = 0
  #type = 0
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerHave = 0

  constructor(events: ScanEvents) {
    this.#events = events
  }

  feed(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#bodyLeft === 0) {
        at = this.#readHeader(chunk, at)
        if (this.#bodyLeft > 0 || this.#headerHave > 0) continue
        this.#finish(chunk, at)
        continue
      }
      const step = Math.min(this.#bodyLeft, chunk.length - at)
      at += step
      this.#bodyLeft -= step
      if (this.#bodyLeft === 0) this.#finish(chunk, at)
    }
  }

  #readHeader(chunk: Uint8Array, from: number): number {
    let at = from
    while (at < chunk.length && this.#headerHave < HEADER_BYTES)
      this.#header[this.#headerHave++] = chunk[at++] as number
    if (this.#headerHave < HEADER_BYTES) return at
    const [type, a, b, c, d] = this.#header as unknown as [number, number, number, number, number]
    this.#headerHave = 0
    this.#type = type
    this.#bodyLeft = ((a << 24) | (b << 16) | (c << 8) | d) - 4
    return at
  }

  #finish(chunk: Uint8Array, end: number): void {
    // The status is the one byte of ReadyForQuery's body, so it is in this chunk.
    if (this.#type === READY_FOR_QUERY) this.#events.ready(end, chunk[end - 1] as number)
    else if (this.#type === ERROR_RESPONSE) this.#events.error()
    else if (this.#type === COPY_IN_RESPONSE) this.#events.copyIn()
  }
}
