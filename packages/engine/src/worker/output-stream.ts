/**
 * Hands big results to the main thread in pieces and holds the engine back until the consumer has taken enough of them:
 * blocks the engine thread, which is the back-pressure.
 */
import { Field, type SharedState } from '../shared/shared-state.ts'
import type { FromWorker } from '../shared/worker-protocol.ts'

/** Pieces of results, in bytes. */
const PIECE_BYTES = 64 * 1024
/** The engine stops while more than this is sent and not taken, in bytes. */
const WINDOW_BYTES = 256 * 1024

export class OutputStream {
  readonly pieceBytes = PIECE_BYTES
  readonly #state: SharedState
  readonly #post: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void
  /** Bytes sent, wraps like its counterpart `outputTaken`. */
  #sent = 0

  constructor(state: SharedState, post: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void) {
    this.#state = state
    this.#post = post
  }

  /** Sends a piece, then waits until the consumer is near enough, or the request is cancelled. */
  send(seq: number, chunk: Uint8Array<ArrayBuffer>): void {
    this.#sent = (this.#sent + chunk.length) | 0
    this.#post({ type: 'output', seq, chunk }, [chunk.buffer])
    for (;;) {
      const taken = this.#state.get(Field.outputTaken)
      if (((this.#sent - taken) | 0) <= WINDOW_BYTES) return
      if (this.#state.get(Field.cancel) === seq) return
      this.#state.waitWhile(Field.outputTaken, taken)
    }
  }
}
