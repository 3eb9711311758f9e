/**
 * Whether the backend of a lane stands still: its process hangs, or it has run what it got and may not say so, because the mirror that its answers wait for
 * hangs. Either ends when FTS has decided; until then nobody should hold other lanes for it. Found when somebody asks; over with the next answer, or with
 * the backend. Made and kept by the lane.
 */
import { delay, type Clock } from '@mirabelle/runtime'

/** What PostgreSQL is done with is answered within this time since the segment said so, ms: the disk of its mirror may be slow. */
const ANSWER_MS = 500

export class Standstill {
  #since: number | undefined
  readonly #waiting = new Set<() => void>()

  get lasts(): boolean {
    return this.#since !== undefined
  }

  /** Since when nothing has been answered, monotonic ms. */
  get since(): number | undefined {
    return this.#since
  }

  /** Looks by one statement, sent at `sentAt`: PostgreSQL is done with it, or nobody says, and it stays under way. */
  async look(
    clock: Clock,
    sentAt: number,
    hasRun: () => Promise<boolean>,
    isUnderWay: () => boolean,
  ): Promise<boolean> {
    const word = await hasRun().then(
      (isDone) => (isDone ? 'done' : 'runs'),
      () => 'none', // it hangs, or is being lost
    )
    if (word === 'runs' || !isUnderWay()) return false
    if (word === 'done') await delay(clock, ANSWER_MS)
    if (!isUnderWay()) return false
    this.#since = sentAt
    return true
  }

  /** An answer has come, or the backend is gone. */
  over(): void {
    if (this.#since === undefined) return
    this.#since = undefined
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const go of waiting) go()
  }

  /** Calls `go` once when it is over; the answer takes that back. Only while it lasts. */
  whenOver(go: () => void): () => void {
    this.#waiting.add(go)
    return () => void this.#waiting.delete(go)
  }
}
