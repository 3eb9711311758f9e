/** A clock that stands still until a test moves it, for what runs within one turn; tests of other packages use it, too. */
import type { Clock } from '@mirabelle/runtime'

export interface HandClock {
  readonly clock: Clock
  /** Lets time pass: each timer fires when its time has come, those that it sets, too. */
  advance(ms: number): void
  /** The process was held up: so much later at once, and all timers that are due by then fire late. */
  jump(ms: number): void
  /** How many timers wait. */
  pending(): number
}

export function handClock(): HandClock {
  let now = 0
  let timers: { readonly at: number; readonly fn: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    setTimer(ms, fn) {
      const timer = { at: now + ms, fn }
      timers.push(timer)
      return { clear: () => void (timers = timers.filter((one) => one !== timer)) }
    },
    soon: (fn) => fn(),
  }
  const advance = (ms: number): void => {
    const until = now + ms
    for (;;) {
      const due = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      timers = timers.filter((one) => one !== due)
      now = due.at
      due.fn()
    }
    now = until
  }
  const jump = (ms: number): void => {
    now += ms
    const due = timers.filter(({ at }) => at <= now)
    timers = timers.filter(({ at }) => at > now)
    for (const { fn } of due) fn()
  }
  return { clock, advance, jump, pending: () => timers.length }
}
