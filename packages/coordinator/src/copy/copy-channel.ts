/**
 * What a client sends after CopyInResponse, as a stream that its statement reads. One channel a COPY; ends with CopyDone, CopyFail, or the
 * client's end. The client waits while a piece has not been read: that is the back-pressure.
 */
import { SqlError } from '../errors.ts'

type Piece = { readonly data: Uint8Array } | 'done' | SqlError

export class CopyChannel {
  readonly #pieces: Piece[] = []
  #reader: ((piece: Piece) => void) | undefined
  #writers: (() => void)[] = []
  #ended = false
  #abandoned = false

  /** From the client. Resolves when more may come. */
  push(data: Uint8Array): Promise<void> | undefined {
    return this.#put({ data })
  }

  done(): void {
    void this.#put('done')
  }

  fail(reason: string): void {
    void this.#put(new SqlError('57014', `COPY from stdin failed: ${reason}`))
  }

  /** The statement has stopped reading (an error): what still comes is dropped. */
  abandon(): void {
    this.#abandoned = true
    this.#pieces.length = 0
    this.#wakeWriters()
  }

  /** True after CopyDone or CopyFail. */
  get ended(): boolean {
    return this.#ended
  }

  /** The next piece; undefined after the last. Throws what CopyFail said. */
  async next(): Promise<Uint8Array | undefined> {
    const piece =
      this.#pieces.shift() ??
      (await new Promise<Piece>((resolve) => {
        this.#reader = resolve
        this.#wakeWriters()
      }))
    if (piece instanceof SqlError) throw piece
    return piece === 'done' ? undefined : piece.data
  }

  /** Ends a wait of the reader: the statement was cancelled. */
  interrupt(error: SqlError): void {
    if (this.#reader !== undefined) this.#give(error)
    else this.#pieces.unshift(error)
  }

  #put(piece: Piece): Promise<void> | undefined {
    if (piece === 'done' || piece instanceof SqlError) this.#ended = true
    if (this.#abandoned) return undefined
    if (this.#reader !== undefined) {
      this.#give(piece)
      return undefined
    }
    this.#pieces.push(piece)
    if (piece === 'done' || piece instanceof SqlError || this.#pieces.length < 16) return undefined
    return new Promise((resolve) => this.#writers.push(resolve))
  }

  #give(piece: Piece): void {
    const reader = this.#reader
    this.#reader = undefined
    reader?.(piece)
  }

  #wakeWriters(): void {
    const writers = this.#writers
    this.#writers = []
    for (const go of writers) go()
  }
}
