/** The clock of the machine. */
import type { Clock } from '../ports/clock.ts'
import { TurnEnd } from './turn-end.ts'

/** Longest delay that Node's timers take; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1

const turnEnd = new TurnEnd()

/** The real clock. Timers keep the process alive, as Node's do. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(ms, fn) {
    const timer = setTimeout(fn, Math.min(ms, MAX_DELAY_MS))
    return { clear: () => clearTimeout(timer) }
  },
  soon: (fn) => turnEnd.add(fn),
}
