/**
 * Heartbeats of one connection: sends one when nothing else was sent for a quarter of the other side's silence limit, and
 * tells when nothing was heard for the whole of its own. Started with the connection, ended by `stop()`.
 *
 * A process that was stopped and continued finds its timers late and the peer's bytes unread; so the limit counts only after
 * three timers that fired with nothing heard in between.
 */
import type { Clock, Timer } from '../ports/clock.ts'

const MIN_TICKS = 3
/**
 * So much longer than the side that opened a connection the side that accepted it waits in silence. Whoever opened has to act when its peer is gone; the other
 * side only cleans up, and would take a connection away from a process that is held up for a moment (a long statement to parse, a full disk).
 */
export const ACCEPTER_PATIENCE = 5

export interface LivenessOptions {
  readonly clock: Clock
  /** 0 = no heartbeats and no limit. */
  readonly silenceTimeoutMs: number
  /** The limit of this side is so many times that. Default 1. */
  readonly patience?: number
  /** The limit of the other side is so many times that. Default 1. */
  readonly peerPatience?: number
  /** Called every quarter of the other side's limit. */
  readonly beat: () => void
  /** Called once, with the time since the last byte. */
  readonly silent: (silentMs: number) => void
}

export class Liveness {
  readonly #options: LivenessOptions
  #timer: Timer | undefined
  #heardAt: number
  #beatAt: number
  #ticks = 0

  constructor(options: LivenessOptions) {
    this.#options = options
    this.#heardAt = this.#beatAt = options.clock.monotonic()
    if (options.silenceTimeoutMs > 0) this.#arm(options.silenceTimeoutMs / 4)
  }

  /** Any byte counts as life. */
  heard(): void {
    this.#heardAt = this.#options.clock.monotonic()
    this.#ticks = 0
  }

  stop(): void {
    this.#timer?.clear()
    this.#timer = undefined
  }

  #arm(ms: number): void {
    this.#timer = this.#options.clock.setTimer(Math.max(1, ms), () => this.#tick())
  }

  #tick(): void {
    const { clock, silenceTimeoutMs, patience = 1, peerPatience = 1, beat, silent } = this.#options
    const quarter = silenceTimeoutMs / 4
    const limitMs = silenceTimeoutMs * patience
    const now = clock.monotonic()
    const silentMs = now - this.#heardAt
    this.#ticks++
    if (silentMs >= limitMs && this.#ticks > MIN_TICKS) {
      this.stop()
      silent(silentMs)
      return
    }
    if (now - this.#beatAt >= quarter * peerPatience * 0.9) {
      this.#beatAt = now
      beat()
    }
    const untilLimit = limitMs - silentMs
    this.#arm(untilLimit > 0 ? Math.min(quarter, untilLimit) : quarter / 4)
  }
}
