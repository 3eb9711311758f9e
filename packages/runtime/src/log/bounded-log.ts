/**
 * A logger for what strangers can cause as often as they like: connections that are refused, passwords that are wrong. So many warnings at once, then
 * so many a second; those that are left out are counted and told, so that nobody can push everything else out of the log, and nothing is hidden.
 */
import type { Clock } from '../ports/clock.ts'
import type { Logger } from './logger.ts'

/** Warnings that are written however fast they come. */
export const STRANGER_LINES_AT_ONCE = 100
/** Warnings a second after that. */
export const STRANGER_LINES_PER_SECOND = 2
/** How late it is told, at most, what was left out, ms. */
const TELL_MS = 10_000

/** The same logger, its warnings and those of its children bounded together. */
export function boundedLogger(log: Logger, clock: Pick<Clock, 'monotonic' | 'setTimer'>): Logger {
  let lines = STRANGER_LINES_AT_ONCE
  let countedAt = clock.monotonic()
  let leftOut = 0
  const mayWrite = (): boolean => {
    const now = clock.monotonic()
    lines = Math.min(STRANGER_LINES_AT_ONCE, lines + ((now - countedAt) / 1000) * STRANGER_LINES_PER_SECOND)
    countedAt = now
    if (lines < 1) return false
    lines--
    return true
  }
  const tell = (): void => {
    log.warn({ leftOut }, `${leftOut} warnings like those before were left out`)
    leftOut = 0
  }
  const bounded = (inner: Logger): Logger => ({
    debug: (fields, sentence) => inner.debug(fields, sentence),
    info: (fields, sentence) => inner.info(fields, sentence),
    warn(fields, sentence) {
      if (mayWrite()) inner.warn(fields, sentence)
      else if (leftOut++ === 0) clock.setTimer(TELL_MS, tell)
    },
    error: (fields, sentence) => inner.error(fields, sentence),
    child: (fields) => bounded(inner.child(fields)),
  })
  return bounded(log)
}
