/**
 * What the clients were told: each row has an id of its own that is used once, so in the end every id can be looked up. An
 * acknowledged row must be there exactly once; one whose answer never came may be there or not, but never twice.
 */

/** When a row was sent and acknowledged, ms since the demo began. */
export interface Ack {
  readonly content: number
  readonly sentAtMs: number
  readonly atMs: number
}

export interface Verdict {
  readonly acked: number
  readonly unknown: number
  /** Acknowledged and not there. */
  readonly lost: number
  /** There more than once. */
  readonly duplicated: number
  /** There, but never sent. */
  readonly unexpected: number
  /** Never acknowledged, and there. */
  readonly unknown_present: number
}

export class Ledger {
  readonly #acked = new Map<number, Ack>()
  readonly #unknown = new Set<number>()
  #next = 1

  /** An id that nobody has used. */
  take(): number {
    return this.#next++
  }
  acked(id: number, ack: Ack): void {
    this.#acked.set(id, ack)
  }
  /** The statement ended in an error: it may have been done all the same. */
  unknown(id: number): void {
    this.#unknown.add(id)
  }

  get ackedCount(): number {
    return this.#acked.size
  }
  get unknownCount(): number {
    return this.#unknown.size
  }

  /** Times of acknowledgements since `fromMs`, in order: on one content, on all, or on all but `except`. */
  ackTimes(content: number | 'all' | 'others', fromMs: number, except?: number): number[] {
    const times: number[] = []
    for (const ack of this.#acked.values()) {
      if (ack.atMs < fromMs) continue
      if (typeof content === 'number' ? ack.content === content : ack.content !== except) times.push(ack.atMs)
    }
    return times.sort((a, b) => a - b)
  }

  /** The first acknowledgement of a row that was sent after a moment; undefined when none has come. */
  firstAckOfSentAfter(ms: number): number | undefined {
    let first: number | undefined
    for (const { sentAtMs, atMs } of this.#acked.values())
      if (sentAtMs > ms && (first === undefined || atMs < first)) first = atMs
    return first
  }

  /** Compares with the ids that the table holds. */
  judge(found: readonly number[]): Verdict {
    const times = new Map<number, number>()
    for (const id of found) times.set(id, (times.get(id) ?? 0) + 1)
    const lost = [...this.#acked.keys()].filter((id) => !times.has(id)).length
    const duplicated = [...times.values()].filter((count) => count > 1).length
    const unexpected = [...times.keys()].filter((id) => !this.#acked.has(id) && !this.#unknown.has(id)).length
    const present = [...this.#unknown].filter((id) => times.has(id)).length
    return {
      acked: this.#acked.size,
      unknown: this.#unknown.size,
      lost,
      duplicated,
      unexpected,
      unknown_present: present,
    }
  }
}

/** The longest pause between acknowledgements in a row of times that begins at `fromMs`. */
export function longestGap(
  times: readonly number[],
  fromMs: number,
): { readonly gapMs: number; readonly endsAtMs: number } {
  let before = fromMs
  let longest = { gapMs: 0, endsAtMs: fromMs }
  for (const time of times) {
    if (time - before > longest.gapMs) longest = { gapMs: time - before, endsAtMs: time }
    before = time
  }
  return longest
}
