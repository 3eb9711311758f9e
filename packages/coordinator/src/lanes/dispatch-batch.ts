/**
 * What waits to leave for a segment, and when it leaves. Made with a dispatch connection, ends with it.
 *
 * A group that travels alone pays alone: for its frames, its wake-ups, its fsyncs. So statements leave together: those of one turn of the event
 * loop always, and while others are under way as many as are under way. A lone statement never waits, and one behind others
 * leaves when half of what the segment has is answered, long before the last of it: clients form two groups that take turns.
 */
import type { Clock } from '@mirabelle/runtime'

/** An item as query.dispatch has it: seq, syncs, preamble syncs, flags, bytes. */
export type DispatchTuple = readonly [number, number, number, number, Uint8Array]

/** A frame is closed when so much is in it, bytes: far below the limit of the transport. */
const FRAME_BYTES = 4 * 1024 * 1024
/** So much is worth a frame of its own, whatever is under way. */
const WORTH_BYTES = 64 * 1024

export class DispatchBatch {
  readonly #clock: Clock
  readonly #send: (items: readonly DispatchTuple[]) => void
  #items: DispatchTuple[] = []
  #bytes = 0
  #underWay = 0
  #planned = false

  constructor(clock: Clock, send: (items: readonly DispatchTuple[]) => void) {
    this.#clock = clock
    this.#send = send
  }

  add(item: DispatchTuple): void {
    const { byteLength } = item[4]
    if (this.#bytes + byteLength > FRAME_BYTES) this.flush()
    this.#bytes += byteLength
    this.#items.push(item)
    if (this.#planned) return
    this.#planned = true
    this.#clock.soon(() => {
      this.#planned = false
      this.#flushWhenWorth()
    })
  }

  /** So many of the items that were sent are over. */
  answered(count: number): void {
    this.#underWay -= count
    if (!this.#planned) this.#flushWhenWorth()
  }

  /** Sends everything now. */
  flush(): void {
    const items = this.#items
    if (items.length === 0) return
    this.#items = []
    this.#bytes = 0
    this.#underWay += items.length
    this.#send(items)
  }

  #flushWhenWorth(): void {
    if (this.#items.length >= this.#underWay || this.#bytes >= WORTH_BYTES) this.flush()
  }
}
