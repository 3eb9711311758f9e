/** The clock port. Actors never read the time or set a timer in any other way, so that a cluster can run on simulated time. */

/** A timer that can be cleared. */
export interface Timer {
  /** Stops the timer; does nothing when it has fired. */
  clear(): void
}

export interface Clock {
  /** Wall clock, ms since 1970; may jump. For what people read. */
  now(): number
  /** Monotonic clock, ms, fractions included. For durations and deadlines. */
  monotonic(): number
  /** Calls `fn` once after `ms`. */
  setTimer(ms: number, fn: () => void): Timer
  /** Calls `fn` after everything that is ready now has run, at the end of this turn of the event loop or of a later one: used to batch. */
  soon(fn: () => void): void
}

/** Resolves after `ms`. */
export function delay(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(ms, resolve)
  })
}
