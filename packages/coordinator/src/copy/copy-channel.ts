/**
 * What a client sends after CopyInResponse, as a stream that its statement reads. One channel a COPY; ends with CopyDone, CopyFail, or the
 * client's end. The client waits while too much has not been read: that is the back-pressure. What has come since the last read is read in one
 * piece: clients send a message a row.
 */
import { SqlError } from '../errors.ts'

/** Bytes that may wait to be read. */
const MAX_WAITING_BYTES = 256 * 1024

export class CopyChannel {
  #pieces: Uint8Array[] = []
  #bytes = 0
  #end: 'done' | SqlError | undefined
  #interrupted: SqlError | undefined
  #reader: (() => void) | undefined
  #writers: (() => void)[] = []
  #abandoned = false

  /** From the client. Resolves when more may come. */
  push(data: Uint8Array): Promise<void> | undefined {
    if (this.#abandoned) return undefined
    this.#pieces.push(data)
    this.#bytes += data.length
    this.#wakeReader()
    if (this.#bytes < MAX_WAITING_BYTES) return undefined
    return new Promise((resolve) => this.#writers.push(resolve))
  }

  done(): void {
    this.#end ??= 'done'
    this.#wakeReader()
  }

  fail(reason: string): void {
    this.#end ??= new SqlError('57014', `COPY from stdin failed: ${reason}`)
    this.#wakeReader()
  }

  /** The statement has stopped reading (an error): what still comes is dropped. */
  abandon(): void {
    this.#abandoned = true
    this.#take()
  }

  /** True after CopyDone or CopyFail. */
  get ended(): boolean {
    return this.#end !== undefined
  }

  /** What has come since; undefined after the last. Throws what CopyFail said. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#interrupted !== undefined) throw this.#interrupted
      if (this.#pieces.length > 0) return this.#take()
      if (this.#end === 'done') return undefined
      if (this.#end !== undefined) throw this.#end
      await new Promise<void>((resolve) => (this.#reader = resolve))
    }
  }

  /** Ends a wait of the reader: the statement was cancelled. */
  interrupt(error: SqlError): void {
    this.#interrupted ??= error
    this.#wakeReader()
  }

  #take(): Uint8Array {
    const pieces = this.#pieces
    this.#pieces = []
    this.#bytes = 0
    const writers = this.#writers
    this.#writers = []
    for (const go of writers) go()
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
  }

  /** It goes on behind what comes in this turn. */
  #wakeReader(): void {
    const reader = this.#reader
    this.#reader = undefined
    reader?.()
  }
}
