/**
 * Lets a coordinator that opens the lane wait while the segment is on its way to be primary: it is answered in the moment in which the promotion
 * is complete, instead of asking again and again. Made with the segment; every wait ends, with the role or after `LONGEST_WAIT_MS`.
 */
import { mayBePrimarySoon, type InstanceActor } from '@mirabelle/instance'
import type { Clock } from '@mirabelle/runtime'

/** Less than a coordinator waits for its answer, ms. */
const LONGEST_WAIT_MS = 500

export class PrimarySoon {
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The role has changed. */
  changed(): void {
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves when the instance neither starts nor is promoted any more, or when that takes too long. What it is then is for the caller to see. */
  settled(instance: InstanceActor): Promise<void> {
    const isUnderWay = (): boolean => mayBePrimarySoon(instance.roleState, instance.assignment.role)
    if (!isUnderWay()) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        this.#waiting.delete(look)
        timer.clear()
        resolve()
      }
      const look = (): void => {
        if (!isUnderWay()) end()
      }
      const timer = this.#clock.setTimer(LONGEST_WAIT_MS, end)
      this.#waiting.add(look)
    })
  }
}
