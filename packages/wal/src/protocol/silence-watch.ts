/**
 * Notices that the other side of a stream says nothing any more. Made for one connection by walsender and walreceiver, ends with `stop`. Looks four times per
 * limit; when this process itself was held up it waits one more look, because what the peer said meanwhile has not been read yet.
 */
import type { Clock, Timer } from '@mirabelle/runtime'

/** A limit that is lowered is in force after so long, ms. */
const LONGEST_LOOK_MS = 5_000

export interface SilenceWatchOptions {
  readonly clock: Clock
  /** The limit, ms; asked anew each time. */
  readonly timeoutMs: () => number
  /** Called once, when nothing was heard for longer than the limit. */
  readonly onSilent: (silentMs: number, timeoutMs: number) => void
  /** Called at each look that finds the peer alive: time for a keepalive. */
  readonly onLook?: (silentMs: number, timeoutMs: number) => void
}

export class SilenceWatch {
  readonly #options: SilenceWatchOptions
  #lastHeardMs: number
  #lastLookMs: number
  #timer: Timer | undefined

  constructor(options: SilenceWatchOptions) {
    this.#options = options
    this.#lastHeardMs = this.#lastLookMs = options.clock.monotonic()
    this.#lookLater()
  }

  /** The peer said something. */
  heard(): void {
    this.#lastHeardMs = this.#options.clock.monotonic()
  }

  stop(): void {
    this.#timer?.clear()
    this.#timer = undefined
  }

  #lookLater(): void {
    const inMs = Math.min(this.#options.timeoutMs() / 4, LONGEST_LOOK_MS)
    this.#timer = this.#options.clock.setTimer(inMs, () => this.#look())
  }

  #look(): void {
    const timeoutMs = this.#options.timeoutMs()
    const now = this.#options.clock.monotonic()
    const heldUp = now - this.#lastLookMs > timeoutMs / 2
    this.#lastLookMs = now
    const silentMs = now - this.#lastHeardMs
    this.#lookLater()
    if (silentMs > timeoutMs && !heldUp) {
      this.stop()
      this.#options.onSilent(silentMs, timeoutMs)
    } else this.#options.onLook?.(silentMs, timeoutMs)
  }
}
