/**
 * What clients were told about what they wrote. Every unit of work (one statement or one transaction) has a number of its own and writes a known set
 * of row ids, each used once, so in the end every row can be looked up: an acknowledged unit is there whole and once, one that was refused is
 * not there at all, one whose answer never came is there whole or not at all.
 */

export type Outcome = 'acked' | 'failed' | 'unknown'

export interface Unit {
  readonly ids: readonly number[]
  /** The contents that it writes. */
  readonly contents: readonly number[]
  readonly outcome: Outcome
  readonly beganAtMs: number
  readonly endedAtMs: number
  /** What the client got when it was not acknowledged. */
  readonly error: string
}

export interface Verdict {
  readonly acked: number
  readonly failed: number
  readonly unknown: number
  /** Rows of acknowledged units that are not there. */
  readonly lost: readonly number[]
  /** Rows that are there more than once. */
  readonly doubled: readonly number[]
  /** Rows of refused units, or of none, that are there. */
  readonly unexpected: readonly number[]
  /** Units of several rows of which only a part is there. */
  readonly torn: readonly Unit[]
  /** Units without an answer that are there. */
  readonly unknownPresent: number
}

export class Ledger {
  /** In the order in which they ended. */
  readonly #units: Unit[] = []
  readonly #counts: Record<Outcome, number> = { acked: 0, failed: 0, unknown: 0 }
  #next: number

  constructor(firstId = 1) {
    this.#next = firstId
  }

  /** An id that nobody has used. */
  take(): number {
    return this.#next++
  }
  record(unit: Unit): void {
    let at = this.#units.length
    while (at > 0 && (this.#units[at - 1] as Unit).endedAtMs > unit.endedAtMs) at -= 1
    this.#units.splice(at, 0, unit)
    this.#counts[unit.outcome] += 1
  }
  get units(): readonly Unit[] {
    return this.#units
  }
  count(outcome: Outcome): number {
    return this.#counts[outcome]
  }
  /** Distinct errors with how often each came. */
  errors(sinceMs = 0): ReadonlyMap<string, number> {
    const found = new Map<string, number>()
    for (const { error, outcome } of this.#since(sinceMs))
      if (outcome !== 'acked') found.set(error, (found.get(error) ?? 0) + 1)
    return found
  }

  /** Acknowledgements of units on exactly this content since a moment. */
  acksOf(content: number, sinceMs: number): Unit[] {
    return this.#since(sinceMs).filter(({ outcome, contents }) => {
      return outcome === 'acked' && contents.length === 1 && contents[0] === content
    })
  }

  /** Those that ended at a moment or after it. */
  #since(sinceMs: number): Unit[] {
    let [low, high] = [0, this.#units.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#units[middle] as Unit).endedAtMs < sinceMs) low = middle + 1
      else high = middle
    }
    return this.#units.slice(low)
  }

  /** The longest time without an acknowledgement on a content, within a span, ms. */
  longestGap(
    content: number,
    fromMs: number,
    toMs = Infinity,
  ): { readonly gapMs: number; readonly endsAtMs: number } {
    let before = fromMs
    let longest = { gapMs: 0, endsAtMs: fromMs }
    for (const { endedAtMs } of this.acksOf(content, fromMs)) {
      if (endedAtMs - before > longest.gapMs) longest = { gapMs: endedAtMs - before, endsAtMs: endedAtMs }
      if (endedAtMs >= toMs) break
      before = endedAtMs
    }
    return longest
  }

  /** Compares with the ids that the table holds. */
  judge(found: readonly number[]): Verdict {
    const times = new Map<number, number>()
    for (const id of found) times.set(id, (times.get(id) ?? 0) + 1)
    const of = (outcome: Outcome) => this.#units.filter((unit) => unit.outcome === outcome)
    const present = (unit: Unit) => unit.ids.filter((id) => times.has(id)).length
    const allowed = new Set(
      this.#units.filter(({ outcome }) => outcome !== 'failed').flatMap(({ ids }) => ids),
    )
    return {
      acked: this.count('acked'),
      failed: this.count('failed'),
      unknown: this.count('unknown'),
      lost: of('acked').flatMap(({ ids }) => ids.filter((id) => !times.has(id))),
      doubled: [...times].filter(([, count]) => count > 1).map(([id]) => id),
      unexpected: [...times.keys()].filter((id) => !allowed.has(id)),
      torn: this.#units.filter((unit) => present(unit) !== 0 && present(unit) !== unit.ids.length),
      unknownPresent: of('unknown').filter((unit) => present(unit) > 0).length,
    }
  }
}

/** Nothing acknowledged is lost, nothing is there twice, in part, or against what the client was told. */
export function isFaultless({ lost, doubled, unexpected, torn }: Verdict): boolean {
  return lost.length + doubled.length + unexpected.length + torn.length === 0
}
