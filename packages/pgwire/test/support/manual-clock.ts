import type { DoorClock } from '@mirabelle/pgwire'

/** A clock whose timers fire when the test says so. */
export class ManualClock implements DoorClock {
  readonly #timers = new Map<object, { ms: number; fn: () => void }>()

  setTimer(ms: number, fn: () => void): { clear(): void } {
    const key = {}
    this.#timers.set(key, { ms, fn })
    return { clear: () => this.#timers.delete(key) }
  }

  /** Fires all timers that were set for `ms`. @returns how many there were */
  fire(ms: number): number {
    const due = Array.from(this.#timers).filter(([, timer]) => timer.ms === ms)
    for (const [key, timer] of due) {
      this.#timers.delete(key)
      timer.fn()
    }
    return due.length
  }

  pending(ms: number): number {
    return Array.from(this.#timers.values()).filter((timer) => timer.ms === ms).length
  }
}
