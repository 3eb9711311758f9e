/** The clock of the machine. */
import type { Clock } from '../ports/clock.ts'
import { TurnEnd } from './turn-end.ts'

/** Longest delay that Node's timers take; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** A timer that fires so much too late was held up with everything else, ms. */
const LATE_MS = 50

const turnEnd = new TurnEnd()

/**
 * The real clock. Timers keep the process alive, as Node's do. A process that was held up (no CPU, or stopped and continued) reads what has
 * arrived before its late timers run: Node would run those first, and time limits would end what has been answered long ago.
 */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(ms, fn) {
    const delay = Math.min(ms, MAX_DELAY_MS)
    const dueAt = performance.now() + delay
    let behindInput: NodeJS.Immediate | undefined
    const timer = setTimeout(() => {
      if (performance.now() - dueAt < LATE_MS) fn()
      else behindInput = setImmediate(fn)
    }, delay)
    return {
      clear() {
        clearTimeout(timer)
        clearImmediate(behindInput)
      },
    }
  },
  soon: (fn) => turnEnd.add(fn),
}
