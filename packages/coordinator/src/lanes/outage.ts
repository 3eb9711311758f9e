/** The time in which a lane has no backend: since when, how long whoever waits may hope, and whether it is certain that none will come. Made and kept by the lane. */
import { MirabelleError, type Content } from '@mirabelle/messages'
import type { Clock, Timer } from '@mirabelle/runtime'

export interface OutageOptions {
  readonly content: Content
  readonly clock: Clock
  /** How long waiters may wait for a backend, ms. */
  readonly failoverTimeoutMs: () => number
  /** They have waited for so long. */
  readonly onOver: (error: MirabelleError) => void
}

export class Outage {
  /** Why nothing can be served, once that is certain. */
  error: MirabelleError | undefined
  readonly #options: OutageOptions
  #since: number
  #timer: Timer | undefined

  constructor(options: OutageOptions) {
    this.#options = options
    this.#since = options.clock.monotonic()
  }

  /** When the backend was lost last, monotonic ms. */
  get since(): number {
    return this.#since
  }

  /** The backend is gone. */
  lost(): void {
    this.#since = this.#options.clock.monotonic()
  }

  /** From now on there is hope for so long. */
  hope(): void {
    const { content, clock, failoverTimeoutMs, onOver } = this.#options
    const limit = failoverTimeoutMs()
    this.stop()
    this.#timer = clock.setTimer(limit, () => {
      onOver(
        new MirabelleError(
          'content.unavailable',
          `content ${content} could not be reached for ${limit} ms: see "mirabelle state"`,
        ),
      )
    })
  }

  /** Nobody hopes any more, or nobody has to. */
  stop(): void {
    this.#timer?.clear()
    this.#timer = undefined
  }

  /** There is a backend. */
  end(): void {
    this.stop()
    this.error = undefined
  }
}
