/** A clock that stands still until a test moves it. */
import type { Clock, Timer } from '@mirabelle/runtime'

export class SimulatedClock implements Clock {
  #nowMs = 0
  #timers: { atMs: number; order: number; fn: () => void }[] = []
  #order = 0

  now(): number {
    return 1_800_000_000_000 + this.#nowMs
  }

  monotonic(): number {
    return this.#nowMs
  }

  setTimer(ms: number, fn: () => void): Timer {
    const timer = { atMs: this.#nowMs + ms, order: this.#order++, fn }
    this.#timers.push(timer)
    return {
      clear: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  soon(fn: () => void): void {
    this.setTimer(0, fn)
  }

  get pending(): number {
    return this.#timers.length
  }

  /** Moves the time on without letting timers run before `ms` have passed: a process that stood still. */
  async freeze(ms: number): Promise<void> {
    this.#nowMs += ms
    await this.advance(0)
  }

  /** Runs everything that is due within the next `ms`, and what follows from it. */
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
    this.#nowMs = Math.max(this.#nowMs, untilMs)
  }
}

/** Lets promise chains run to where they wait for a timer. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i += 1) await new Promise<void>((resolve) => setImmediate(resolve))
}
