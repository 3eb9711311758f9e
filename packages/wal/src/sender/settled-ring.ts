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
  /** Entries before this place are forgotten; they leave many at a time, because moving the rest up is what costs. */
  #head = 0
  /** Index of the first entry that is not forgotten. */
  #base = 0
  #bytes = 0

  constructor(limit: { readonly entries: number; readonly bytes: number }) {
    this.#limit = limit
  }

  /** Index of the next entry. */
  get end(): number {
    return this.#base + this.#size
  }

  get #size(): number {
    return this.#entries.length - this.#head
  }

  /** A lane was opened: another incarnation forgets what was known of the one before. */
  reset(incarnation: string, nextSeq: number): void {
    if (incarnation === this.incarnation) return
    this.incarnation = incarnation
    this.floor = nextSeq
    this.generation++
    this.#drop(this.#size)
  }

  /** Takes over what another one knew. */
  seed(known: SettledKnown): void {
    this.reset(known.incarnation, known.floor)
    this.floor = known.floor
    this.#drop(this.#size)
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
    while (this.#size - over > this.#limit.entries || bytes > this.#limit.bytes) {
      const entry = this.#entries[this.#head + over] as SettledEntry
      bytes -= sizeOf(entry)
      this.floor = Math.max(this.floor, entry[0] + 1)
      over++
    }
    if (over > 0) this.#drop(over)
  }

  /** Entries from this index on; all when the index was forgotten. */
  since(index: number): readonly SettledEntry[] {
    return index >= this.end ? [] : this.#entries.slice(this.#head + Math.max(0, index - this.#base))
  }

  /** Forgets what is complete only beyond `end`: that WAL is gone. */
  truncate(end: Lsn): void {
    const keep = this.known().entries.filter((entry) => entry[1] <= end)
    if (keep.length === this.#size) return
    this.#drop(this.#size)
    this.generation++
    this.#entries = keep
    this.#head = 0
    this.#bytes = keep.reduce((sum, entry) => sum + sizeOf(entry), 0)
  }

  known(): SettledKnown {
    return { incarnation: this.incarnation, floor: this.floor, entries: this.#entries.slice(this.#head) }
  }

  #drop(count: number): void {
    for (let i = 0; i < count; i++) this.#bytes -= sizeOf(this.#entries[this.#head + i] as SettledEntry)
    this.#base += count
    this.#head += count
    if (this.#head * 2 < this.#entries.length) return
    this.#entries.splice(0, this.#head)
    this.#head = 0
  }
}

/** Memory that an entry is counted with. */
export function sizeOf(entry: SettledEntry): number {
  return ENTRY_OVERHEAD + (entry[2]?.length ?? 0)
}
