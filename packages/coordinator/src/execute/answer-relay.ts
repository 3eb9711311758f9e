/**
 * Passes the answers of one statement, from one content or from several, to a sink as one answer: the row description once, the rows of
 * all, the notices, and one CommandComplete with the sum of the counts.
 */
import { Backend, commandComplete, COPY_DONE, EMPTY_QUERY_RESPONSE } from '@mirabelle/pgwire'
import { SqlError } from '../errors.ts'
import { asError } from './as-error.ts'
import { AnswerStream } from './answer-stream.ts'
import type { Sink } from './sink.ts'

export interface RelayOptions {
  /** Pass the RowDescription on (simple protocol); in the extended protocol Describe has answered it. */
  readonly describe: boolean
  /** Only this source's rows and count are the answer; the others just have to succeed. */
  readonly answerOf?: number
  /** CopyOutResponse has been sent already. */
  readonly copyBegun?: boolean
}

export class AnswerRelay {
  readonly #sink: Sink
  readonly #options: RelayOptions
  readonly #streams = new Map<number, AnswerStream>()
  #described = false
  #copyOut = false
  #empty = false
  #tag: string | undefined
  #count: number | undefined
  #error: Buffer | undefined
  #rows = 0
  #failure: Error | undefined

  constructor(sink: Sink, options: RelayOptions) {
    this.#sink = sink
    this.#options = options
    if (options.copyBegun === true) this.#described = this.#copyOut = true
  }

  /** Something that cannot be taken back has gone to the sink. */
  get started(): boolean {
    return this.#described || this.#rows > 0
  }
  get error(): Buffer | undefined {
    return this.#error
  }
  get rows(): number {
    return this.#rows
  }

  /** Takes a piece of the answer of one source; the promise is back-pressure. */
  take(source: number, chunk: Uint8Array): Promise<void> | undefined {
    let stream = this.#streams.get(source)
    if (stream === undefined) {
      stream = new AnswerStream((type, bytes, start, end) => this.#message(source, type, bytes, start, end))
      this.#streams.set(source, stream)
    }
    try {
      stream.push(chunk)
    } catch (error) {
      // The sink takes no more (its limit): what still comes is dropped, `finish` tells why.
      this.#failure ??= asError(error)
    }
    return this.#sink.drained()
  }

  #message(source: number, type: number, bytes: Buffer, start: number, end: number): void {
    const { answerOf } = this.#options
    const wanted = answerOf === undefined || answerOf === source
    switch (type) {
      case Backend.dataRow:
      case Backend.copyData:
        if (!wanted || this.#error !== undefined || this.#failure !== undefined) return
        this.#rows++
        return this.#sink.send(bytes.subarray(start, end))
      case Backend.rowDescription:
        if (!this.#options.describe || this.#described || !wanted) return
        this.#described = true
        return this.#sink.send(bytes.subarray(start, end))
      case Backend.copyOutResponse:
        if (this.#described || !wanted) return
        this.#described = true
        this.#copyOut = true
        return this.#sink.send(bytes.subarray(start, end))
      case Backend.noticeResponse:
        if (wanted) this.#sink.send(bytes.subarray(start, end))
        return
      case Backend.errorResponse:
        this.#error ??= Buffer.from(bytes.subarray(start, end))
        return
      case Backend.emptyQueryResponse:
        this.#empty = true
        return
      case Backend.commandComplete:
        if (wanted) this.#complete(bytes.toString('utf8', start + 5, end - 1))
        return
      default:
    }
  }

  #complete(tag: string): void {
    this.#tag ??= tag
    const count = /(\d+)$/.exec(tag)?.[1]
    if (count !== undefined) this.#count = (this.#count ?? 0) + Number(count)
  }

  /** The tag of the whole, without sending it. */
  get tag(): string | undefined {
    const tag = this.#tag
    if (tag === undefined) return undefined
    return this.#count === undefined ? tag : tag.replace(/\d+$/, String(this.#count))
  }

  /** Ends the answer: throws the first error that came, or sends the end of the statement. */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#error !== undefined) throw SqlError.fromBytes(this.#error)
    if (this.#copyOut) this.#sink.send(COPY_DONE)
    const tag = this.tag
    if (tag !== undefined) this.#sink.send(commandComplete(tag))
    else if (this.#empty) this.#sink.send(EMPTY_QUERY_RESPONSE)
  }
}
