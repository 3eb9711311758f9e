/**
 * One table on its way into a temporary table of the coordinator: takes the COPY OUT of contents in pieces, sends it on in COPY IN items of some
 * megabytes. Bounded: at most two items wait for the coordinator's engine, then the contents wait.
 */
import { Backend } from '@mirabelle/pgwire'
import { AnswerStream } from '../execute/answer-stream.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { SqlError } from '../errors.ts'
import { asError } from '../execute/as-error.ts'

/** One COPY item for an engine. */
const ITEM_BYTES = 4 * 1024 * 1024
const MAX_ITEMS_WAITING = 2
const COPY_DONE = Uint8Array.of(0x63, 0, 0, 0, 4)

export class GatherFeed {
  readonly #copyInSql: string
  readonly #send: (bytes: Uint8Array) => Promise<unknown>
  readonly #onBytes: (bytes: number) => void
  readonly #streams = new Map<number, AnswerStream>()
  #pieces: Uint8Array[] = []
  #bytes = 0
  #waiting = new Set<Promise<unknown>>()
  #failure: Error | undefined

  /** `send` runs one COPY item on the coordinator; `onBytes` counts, and throws when there are too many. */
  constructor(
    copyInSql: string,
    send: (bytes: Uint8Array) => Promise<unknown>,
    onBytes: (bytes: number) => void,
  ) {
    this.#copyInSql = copyInSql
    this.#send = send
    this.#onBytes = onBytes
  }

  /** What went wrong here; the whole gather is to be given up. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Nothing more is taken in, nothing more is sent. */
  abandon(error: Error): void {
    this.#failure ??= error
  }

  /** Takes a piece of the answer of a content. */
  take(content: number, chunk: Uint8Array): Promise<void> | undefined {
    let stream = this.#streams.get(content)
    if (stream === undefined) {
      stream = new AnswerStream((type, bytes, start, end) => this.#message(type, bytes, start, end))
      this.#streams.set(content, stream)
    }
    try {
      stream.push(chunk)
    } catch (error) {
      this.#failure ??= asError(error)
    }
    if (this.#bytes >= ITEM_BYTES) this.#flush()
    return this.#waiting.size < MAX_ITEMS_WAITING ? undefined : this.#room()
  }

  /** Sends the rest; resolves when all of it is in the table. Throws what went wrong. */
  async finish(): Promise<void> {
    if (this.#bytes > 0) this.#flush()
    await Promise.all(this.#waiting)
    if (this.#failure !== undefined) throw this.#failure
  }

  #message(type: number, bytes: Buffer, start: number, end: number): void {
    if (type === Backend.errorResponse)
      this.#failure ??= SqlError.fromBytes(Buffer.from(bytes.subarray(start, end)))
    if (type !== Backend.copyData || this.#failure !== undefined) return
    this.#onBytes(end - start)
    this.#pieces.push(bytes.subarray(start, end))
    this.#bytes += end - start
  }

  #flush(): void {
    const bytes = Buffer.concat([queryMessage(this.#copyInSql), ...this.#pieces, COPY_DONE])
    this.#pieces = []
    this.#bytes = 0
    if (this.#failure !== undefined) return
    const sent: Promise<unknown> = this.#send(bytes).then(
      () => this.#waiting.delete(sent),
      (error: unknown) => {
        this.#waiting.delete(sent)
        this.#failure ??= asError(error)
      },
    )
    this.#waiting.add(sent)
  }

  async #room(): Promise<void> {
    while (this.#waiting.size >= MAX_ITEMS_WAITING) await Promise.race(this.#waiting)
  }
}
