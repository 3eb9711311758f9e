/** The timers of Node, for a door that is opened without a clock port. */
import type { DoorClock } from './front-door-types.ts'

export const nodeClock: DoorClock = {
  setTimer(ms, fn) {
    const timer = setTimeout(fn, ms)
    return { clear: () => clearTimeout(timer) }
  },
}
