/** The clock port of a simulated process: that of its host, which can run too fast or too slow, and whose wall clock can be set wrong. */
import type { Clock, Timer } from '@mirabelle/runtime'
import type { SimProcess } from './sim-process.ts'

/** Wall clock of the beginning of every simulation. */
export const SIM_EPOCH_MS = Date.UTC(2031, 0, 1)

/** No machine tells shorter times; what is left of a time after rounding must not be waited for again and again, ms. */
const SHORTEST_MS = 1e-3

export class SimClock implements Clock {
  readonly #process: SimProcess

  constructor(process: SimProcess) {
    this.#process = process
  }

  now(): number {
    const { host } = this.#process
    return SIM_EPOCH_MS + host.ownMs + host.wallSkewMs
  }

  monotonic(): number {
    return this.#process.host.ownMs
  }

  setTimer(ms: number, fn: () => void): Timer {
    const waitMs = ms > 0 && ms < SHORTEST_MS ? SHORTEST_MS : ms
    const event = this.#process.schedule(waitMs / this.#process.host.clockRate, fn)
    return {
      clear() {
        event.cancelled = true
      },
    }
  }

  soon(fn: () => void): void {
    this.#process.schedule(0, fn)
  }
}
