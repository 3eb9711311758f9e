/**
 * What may be under way in a lane at a time: a segment that gets more than it takes cuts the lane off, for everybody. What goes beyond waits here, in the order of the lane.
 * Made and ended with a line. An item that is as large as the whole window goes alone.
 */
import { MirabelleError, type Content } from '@mirabelle/messages'
import { sizeOf, type LaneItem } from './lane-item.ts'
import { cancelledByUser, UNSENT, type Sent } from './sent.ts'

/** What a backend takes. */
export interface SendLimits {
  /** Items under way at a time, and their bytes. */
  readonly items: number
  readonly bytes: number
  /** Bytes of one item. */
  readonly itemBytes: number
}

export class SendWindow {
  readonly #content: Content
  readonly #limits: SendLimits | undefined
  readonly #send: (sent: Sent) => void
  #items = 0
  #bytes = 0
  #waiting: Sent[] = []

  constructor(content: Content, limits: SendLimits | undefined, send: (sent: Sent) => void) {
    this.#content = content
    this.#limits = limits
    this.#send = send
  }

  /** What has not been sent. */
  get waiting(): readonly Sent[] {
    return this.#waiting
  }

  /** Sends it, now or when there is room. */
  add(sent: Sent): void {
    const size = sizeOf(sent.item)
    const limit = this.#limits?.itemBytes ?? Number.POSITIVE_INFINITY
    if (size > limit) {
      const text = `content ${this.#content}: a statement of ${size} bytes, the limit is ${limit}: send it in smaller parts`
      return sent.reject(new MirabelleError('frame.bad', text))
    }
    sent.seq = UNSENT
    this.#waiting.push(sent)
    if (this.#waiting.length === 1) this.#pump()
  }

  /** An item is answered. What waits for room is sent once the answer has been looked at. */
  answered({ item }: Sent): void {
    this.#items--
    this.#bytes -= sizeOf(item)
    if (this.#waiting.length > 0) queueMicrotask(() => this.#pump())
  }

  /** Cancels what waits; false when it does not. What comes behind a part of a transaction must not run without it: that is sent, and cancelled there. */
  cancel(sent: Sent): boolean {
    const at = this.#waiting.indexOf(sent)
    if (at < 0) return false
    if (sent.item.inTransaction === true) return true
    this.#waiting.splice(at, 1)
    sent.reject(cancelledByUser())
    return true
  }

  /** The line is gone: nothing is sent any more. Gives what was not. */
  end(): Sent[] {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }

  #pump(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.item); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#items++
      this.#bytes += sizeOf(next.item)
      this.#send(next)
    }
  }

  #fits(item: LaneItem): boolean {
    if (this.#limits === undefined || this.#items === 0) return true
    const { items, bytes } = this.#limits
    return this.#items < items && this.#bytes + sizeOf(item) <= bytes
  }
}
