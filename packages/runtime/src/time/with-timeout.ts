/** Waits that end (invariant I10). */
import type { MirabelleError } from '@mirabelle/messages'
import type { Clock } from '../ports/clock.ts'

/**
 * Settles as the promise does, or rejects with `error()` after `ms`. The promise itself goes on; what it does later is
 * dropped, a late rejection too.
 */
export function withTimeout<T>(
  clock: Clock,
  promise: Promise<T>,
  ms: number,
  error: () => MirabelleError,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(Math.max(0, ms), () => reject(error()))
    promise.then(
      (value) => {
        timer.clear()
        resolve(value)
      },
      (reason: unknown) => {
        timer.clear()
        reject(reason as Error)
      },
    )
  })
}

/** One limit for several waits in a row. */
export class Deadline {
  readonly #clock: Clock
  readonly #at: number
  readonly #error: () => MirabelleError

  /** Ends `ms` from now; `error` makes what late waits reject with. */
  constructor(clock: Clock, ms: number, error: () => MirabelleError) {
    this.#clock = clock
    this.#at = clock.monotonic() + ms
    this.#error = error
  }

  /** Time left, ms; 0 when it is over. */
  get remainingMs(): number {
    return Math.max(0, this.#at - this.#clock.monotonic())
  }

  get passed(): boolean {
    return this.remainingMs === 0
  }

  /** Throws when it is over. */
  check(): void {
    if (this.passed) throw this.#error()
  }

  /** Waits for the promise, no longer than until the deadline. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return withTimeout(this.#clock, promise, this.remainingMs, this.#error)
  }
}
