/**
 * For work that goes on for long in one piece: lets timers, sockets and other clients in between. A process that does not come to its timers sends no
 * heartbeats, and after a while its peers take it for dead.
 */
import type { Clock } from '../ports/clock.ts'

const LONGEST_MS = 10

export class Breather {
  readonly #clock: Clock
  #since: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.monotonic()
  }

  /** A promise to wait for when the last breath was some 10 ms ago, else undefined. Call it every millisecond or so. */
  due(): Promise<void> | undefined {
    if (this.#clock.monotonic() - this.#since < LONGEST_MS) return undefined
    return new Promise((resolve) => {
      this.#clock.soon(() => {
        this.#since = this.#clock.monotonic()
        resolve()
      })
    })
  }
}
