/** A clock that stands still until a test moves it. */
import type { Clock } from '@mirabelle/runtime'

export class ManualClock implements Clock {
  #nowMs = 0
  #order = 0
  #timers: { readonly atMs: number; readonly order: number; readonly fn: () => void }[] = []

  now(): number {
    return Date.UTC(2030, 0, 1) + this.#nowMs
  }
  monotonic(): number {
    return this.#nowMs
  }
  get pending(): number {
    return this.#timers.length
  }
  setTimer(ms: number, fn: () => void) {
    const timer = { atMs: this.#nowMs + ms, order: this.#order++, fn }
    this.#timers.push(timer)
    return {
      clear: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }
  soon(fn: () => void): void {
    setImmediate(fn)
  }

  /** Runs what is due within the next `ms`, and what follows from it. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    await settle()
    for (;;) {
      const [next] = this.#timers
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)
      if (next === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.fn()
      await settle()
    }
    this.#nowMs = untilMs
  }
}

/** Lets everything run that waits for no timer. */
export async function settle(turns = 4): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
