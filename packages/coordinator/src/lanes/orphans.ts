/**
 * What was under way in a lane when its backend was lost, until the next one can say what became of it. Made and kept by the lane.
 *
 * Promise: each is answered once: with what took effect, by running again when it is known not to have, or with `LaneLost` (sql §3).
 */
import type { Content, MirabelleError } from '@mirabelle/messages'
import type { Logger } from '@mirabelle/runtime'
import type { LaneBackend } from './lane-backend.ts'
import { LaneLost } from './lane-item.ts'
import type { LaneLine } from './lane-line.ts'
import { cancelledByUser, fateOf, isRead, type FateCounts, type Sent } from './sent.ts'

export class Orphans {
  readonly #content: Content
  readonly #log: Logger
  /** In the order of the lane. */
  #waiting: Sent[] = []

  constructor(content: Content, log: Logger) {
    this.#content = content
    this.#log = log
  }

  /** The line of an item is gone: it fails, or waits for the next line. */
  add(sent: Sent, reason: MirabelleError): void {
    const why = `the segment failed over (${reason.message})`
    if (sent.item.whenLost === 'fail') sent.reject(new LaneLost(this.#content, 'unknown', why))
    else if (sent.streamed && !sent.item.write) sent.reject(new LaneLost(this.#content, 'no', why))
    else if (sent.cancelled && isRead(sent)) sent.reject(cancelledByUser())
    else this.#waiting.push(sent)
  }

  /** A cancel of an item that may wait here. A write may have taken effect: that is found out first, but it does not run again. */
  cancel(sent: Sent): void {
    if (!this.#waiting.includes(sent)) return
    sent.cancelled = true
    if (sent.item.write) return
    this.#waiting = this.#waiting.filter((other) => other !== sent)
    sent.reject(cancelledByUser())
  }

  /** No other backend will come. */
  giveUp(error: MirabelleError): void {
    for (const orphan of this.#take()) {
      orphan.reject(orphan.item.write ? new LaneLost(this.#content, 'unknown', error.message) : error)
    }
  }

  /** Asks the new backend what took effect, and ends each by that or has it run `again`. */
  async settle(line: LaneLine, backend: LaneBackend, again: (sent: Sent) => void): Promise<void> {
    const writers = this.#waiting.filter((one) => one.item.write)
    const known =
      writers.length === 0
        ? { floor: 0, settled: [] }
        : await line.during(backend.settled(writers.map((one) => one.seq)))
    const settled = new Map(known.settled.map((entry) => [entry[0], entry]))
    // Read after the wait: some may have been cancelled or given up meanwhile.
    const orphans = this.#take()
    if (orphans.length === 0) return
    const counts: FateCounts = { answered: 0, again: 0, unknown: 0, ended: 0 }
    for (const orphan of orphans) {
      const fate = fateOf(this.#content, orphan, settled.get(orphan.seq), known.floor)
      counts[fate.counted]++
      if (fate.answer !== undefined) orphan.resolve(fate.answer)
      else if (fate.error !== undefined) orphan.reject(fate.error)
      else again(orphan)
    }
    this.#log.info({ content: this.#content, ...counts }, 'statements under way at the failover are settled')
  }

  #take(): Sent[] {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }
}
