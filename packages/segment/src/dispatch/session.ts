/**
 * One connection of a coordinator to the lane: what has been received and not answered yet, and the answers on their way out.
 * Made by the lane when a `dispatch` connection arrives; dead for ever once `end` was called or the connection closed. Promise:
 * what is released in one turn leaves in one frame, in the order of the lane.
 */
import type { Epoch, Lsn, MessageOf, MirabelleError } from '@mirabelle/messages'
import type { Clock, Connection } from '@mirabelle/runtime'
import { DispatchedFlags, type EngineResult } from '@mirabelle/engine'
import { OutputWindow } from './output-window.ts'

type DoneTuple = MessageOf<'query.done'>['items'][number]

/** A frame of answers is sent off when it has grown to this size, bytes. */
const FRAME_BYTES = 4 * 1024 * 1024
/** Longer answers go out in pieces. */
const PIECE_BYTES = 1024 * 1024

export class Session {
  readonly connection: Connection
  readonly epoch: Epoch
  incarnation = ''
  /** Numbers below it were dispatched already. */
  nextSeq = 0
  opened = false
  dead = false
  /** Statements received and not answered, and their bytes. */
  pending = 0
  pendingBytes = 0
  /** Of the statements received, in their order. */
  readonly flags = new DispatchedFlags()
  readonly #clock: Clock
  readonly #windows = new Map<number, OutputWindow>()
  #done: DoneTuple[] = []
  #doneBytes = 0
  #flushQueued = false

  constructor(connection: Connection, epoch: Epoch, clock: Clock) {
    this.connection = connection
    this.epoch = epoch
    this.#clock = clock
  }

  /** An answer passed the gate. It leaves with the next flush, at the latest at the end of this turn. */
  done(seq: number, result: EngineResult): void {
    if (this.dead) return
    this.#windows.delete(seq)
    const output = result.output.length > PIECE_BYTES ? this.#inPieces(seq, result.output) : result.output
    this.#done.push([seq, result.lsn, result.txStatus, result.generation, output])
    this.#doneBytes += output.length
    if (this.#doneBytes >= FRAME_BYTES) this.flush()
    else if (!this.#flushQueued) {
      this.#flushQueued = true
      this.#clock.soon(() => {
        this.#flushQueued = false
        this.flush()
      })
    }
  }

  failed(seq: number, code: string, message: string): void {
    if (this.dead) return
    this.#windows.delete(seq)
    this.flush()
    this.connection.send({ type: 'query.failed', seq, code, message })
  }

  /** Sends the answers that have passed the gate. */
  flush(): void {
    if (this.#done.length === 0 || this.dead) return
    this.connection.send({ type: 'query.done', items: this.#done })
    this.#done = []
    this.#doneBytes = 0
  }

  /** The output of a statement that streams. */
  window(seq: number, mayFlow: () => Promise<Lsn | void>): OutputWindow {
    const window = new OutputWindow(mayFlow, (chunk) => {
      if (this.dead) return
      // Answers that were released before go first: the coordinator sees everything in the order of the lane.
      this.flush()
      this.connection.send({ type: 'query.output', seq, chunk })
    })
    this.#windows.set(seq, window)
    return window
  }

  credit(seq: number, bytes: number): void {
    this.#windows.get(seq)?.credit(bytes)
  }

  /** Nothing more is sent; statements that wait for credit go on with their output dropped. */
  end(reason: MirabelleError | undefined): void {
    if (this.dead) return
    if (reason !== undefined) this.flush()
    this.dead = true
    this.#done = []
    for (const window of this.#windows.values()) window.drop()
    this.#windows.clear()
    if (reason !== undefined) this.connection.close(reason)
  }

  #inPieces(seq: number, output: Uint8Array): Uint8Array {
    this.flush()
    let at = 0
    for (; output.length - at > PIECE_BYTES; at += PIECE_BYTES) {
      this.connection.send({ type: 'query.output', seq, chunk: output.subarray(at, at + PIECE_BYTES) })
    }
    return output.subarray(at)
  }
}
