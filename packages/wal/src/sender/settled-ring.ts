/**
 * The statements that took effect lately, in the order of the lane, bounded. Owned by the hub of walsenders; a stream remembers up to
 * which index it has told them. When the bound is reached the oldest is forgotten and the floor rises above it.
 */
import type { Lsn, SettledEntry } from '@mirabelle/messages'
import type { SettledKnown } from '../api.ts'

/** What an entry counts beside its answer. */
const ENTRY_OVERHEAD = 64

export class SettledRing {
  incarnation = ''
  /** Below this number nothing is known. */
  floor = 0
  /** Grows with each incarnation; indexes of an older one mean nothing. */
  generation = 0
  readonly #limit: { readonly entries: number; readonly bytes: number }
  #entries: SettledEntry[] = []
  /** Index of #entries[0]. */
  #base = 0
  #bytes = 0

  constructor(limit: { readonly entries: number; readonly bytes: number }) {
    this.#limit = limit
  }

  /** Index of the next entry. */
  get end(): number {
    return this.#base + this.#entries.length
  }

  /** A lane was opened: another incarnation forgets what was known of the one before. */
  reset(incarnation: string, nextSeq: number): void {
    if (incarnation === this.incarnation) return
    this.incarnation = incarnation
    this.floor = nextSeq
    this.generation++
    this.#drop(this.#entries.length)
  }

  /** Takes over what another one knew. */
  seed(known: SettledKnown): void {
    this.reset(known.incarnation, known.floor)
    this.floor = known.floor
    this.#drop(this.#entries.length)
    this.add(known.incarnation, known.entries)
  }

  /** Entries of an incarnation that is not the current one are left out: its coordinator is gone and asks no more. */
  add(incarnation: string, entries: readonly SettledEntry[]): void {
    if (entries.length === 0) return
    if (this.incarnation === '') this.reset(incarnation, (entries[0] as SettledEntry)[0])
    if (incarnation !== this.incarnation) return
    for (const entry of entries) {
      this.#entries.push(entry)
      this.#bytes += sizeOf(entry)
    }
    let over = 0
    let bytes = this.#bytes
    while (this.#entries.length - over > this.#limit.entries || bytes > this.#limit.bytes) {
      const entry = this.#entries[over] as SettledEntry
      bytes -= sizeOf(entry)
      this.floor = Math.max(this.floor, entry[0] + 1)
      over++
    }
    if (over > 0) this.#drop(over)
  }

  /** Entries from this index on; all when the index was forgotten. */
  since(index: number): readonly SettledEntry[] {
    return index >= this.end ? [] : this.#entries.slice(Math.max(0, index - this.#base))
  }

  /** Forgets what is complete only beyond `end`: that WAL is gone. */
  truncate(end: Lsn): void {
    const keep = this.#entries.filter((entry) => entry[1] <= end)
    if (keep.length === this.#entries.length) return
    this.#drop(this.#entries.length)
    this.generation++
    this.#entries = keep
    this.#bytes = keep.reduce((sum, entry) => sum + sizeOf(entry), 0)
  }

  known(): SettledKnown {
    return { incarnation: this.incarnation, floor: this.floor, entries: [...this.#entries] }
  }

  #drop(count: number): void {
    for (const entry of this.#entries.splice(0, count)) this.#bytes -= sizeOf(entry)
    this.#base += count
  }
}

/** Memory that an entry is counted with. */
export function sizeOf(entry: SettledEntry): number {
  return ENTRY_OVERHEAD + (entry[2]?.length ?? 0)
}
