/**
 * Keeps a copy at its rate (`recover --max-rate`): who has taken more than its share of bytes waits until time has caught up.
 * Lives as long as one connection of a copy. A limit that is lifted or changed meanwhile is in force within SLICE_MS.
 */
import { delay, type Clock } from '@mirabelle/runtime'

/** The longest wait at a time, so that a change of the limit and the end of the copy are noticed, ms. */
const SLICE_MS = 200

export class Throttle {
  readonly #clock: Clock
  /** Bytes a second; null = no limit. */
  readonly #rate: () => number | null
  /** Monotonic ms at which what was taken so far is paid for. */
  #paidAt: number

  constructor(clock: Clock, rate: () => number | null) {
    this.#clock = clock
    this.#rate = rate
    this.#paidAt = clock.monotonic()
  }

  /** Resolves when the next bytes may be asked for. */
  async pass(): Promise<void> {
    for (;;) {
      const waitMs = this.#paidAt - this.#clock.monotonic()
      if (this.#rate() === null || waitMs <= 0) return
      await delay(this.#clock, Math.min(waitMs, SLICE_MS))
    }
  }

  /** So many bytes came. Time that was not used is not saved up. */
  spent(bytes: number): void {
    const rate = this.#rate()
    if (rate === null) return
    this.#paidAt = Math.max(this.#paidAt, this.#clock.monotonic()) + (bytes * 1000) / rate
  }
}
