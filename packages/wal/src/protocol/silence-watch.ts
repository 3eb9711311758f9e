/**
 * Notices that the other side of a stream says nothing any more. Made for one connection by walsender and walreceiver, ends with `stop`. Asks the peer for a
 * word when it has been silent for a part of the limit, as PostgreSQL does, and looks again at the limit; when this process itself was held up it waits a little
 * longer, because what the peer said meanwhile has not been read yet.
 */
import type { Clock, Timer } from '@mirabelle/runtime'

/** A limit that is lowered is in force after so long, ms. */
const LONGEST_LOOK_MS = 5_000
/** A look that comes later than planned by this part of the limit says that this process was held up. */
const HELD_UP = 1 / 4

export interface SilenceWatchOptions {
  readonly clock: Clock
  /** The limit, ms; asked anew each time. */
  readonly timeoutMs: () => number
  /** The part of the limit after which the peer is asked. */
  readonly askAfter: number
  /** Asks the peer for a word. False when it cannot be asked now. */
  readonly ask: () => boolean
  /** Called once, when nothing was heard for longer than the limit. */
  readonly onSilent: (silentMs: number, timeoutMs: number) => void
}

export class SilenceWatch {
  readonly #options: SilenceWatchOptions
  #lastHeardMs: number
  #nextLookMs = 0
  /** The peer was asked and has not answered yet. */
  #asked = false
  #timer: Timer | undefined
  #stopped = false

  constructor(options: SilenceWatchOptions) {
    this.#options = options
    this.#lastHeardMs = options.clock.monotonic()
    this.#lookIn(options.timeoutMs() * options.askAfter)
  }

  /** The peer said something. */
  heard(): void {
    this.#lastHeardMs = this.#options.clock.monotonic()
    if (!this.#asked) return
    this.#asked = false
    this.#timer?.clear()
    this.#lookIn(this.#options.timeoutMs() * this.#options.askAfter)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  #lookIn(ms: number): void {
    if (this.#stopped) return
    const inMs = Math.min(Math.max(1, ms), LONGEST_LOOK_MS)
    this.#nextLookMs = this.#options.clock.monotonic() + inMs
    this.#timer = this.#options.clock.setTimer(inMs, () => this.#look())
  }

  #look(): void {
    const { clock, timeoutMs, askAfter, ask, onSilent } = this.#options
    const limitMs = timeoutMs()
    const now = clock.monotonic()
    const silentMs = now - this.#lastHeardMs
    const askAfterMs = limitMs * askAfter
    if (silentMs < askAfterMs) this.#lookIn(askAfterMs - silentMs)
    else if (silentMs < limitMs) {
      this.#asked ||= ask()
      this.#lookIn(this.#asked ? limitMs - silentMs : limitMs * HELD_UP)
    } else if (now - this.#nextLookMs > limitMs * HELD_UP) {
      // What was late is the look: the peer may have spoken long ago, or was never asked.
      this.#asked ||= ask()
      this.#lookIn(limitMs * HELD_UP)
    } else {
      this.stop()
      onSilent(silentMs, limitMs)
    }
  }
}
