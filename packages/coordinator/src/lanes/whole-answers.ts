/**
 * Answers that a segment sends in pieces although nobody asked for pieces: they are longer than a frame is to be. Put together here, so that who sent the statement gets one answer.
 * Made and ended with a dispatch connection.
 */
import { DispatchFlag } from '@mirabelle/messages'

export class WholeAnswers {
  /** Statements whose sender takes pieces. */
  readonly #streams = new Set<number>()
  readonly #pieces = new Map<number, Uint8Array[]>()

  sent(seq: number, flags: number): void {
    if ((flags & DispatchFlag.stream) !== 0) this.#streams.add(seq)
  }

  /** Keeps a piece; false when it is for who sent the statement. */
  keeps(seq: number, piece: Uint8Array): boolean {
    if (this.#streams.has(seq)) return false
    const pieces = this.#pieces.get(seq)
    if (pieces === undefined) this.#pieces.set(seq, [piece])
    else pieces.push(piece)
    return true
  }

  /** The statement is over; gives the answer that ends with `rest`. */
  over(seq: number, rest: Uint8Array): Uint8Array {
    const pieces = this.#pieces.get(seq)
    this.#streams.delete(seq)
    this.#pieces.delete(seq)
    return pieces === undefined ? rest : Buffer.concat([...pieces, rest])
  }
}
