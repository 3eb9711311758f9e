/** What a mirror was told of statements that took effect: bounded, asked after a promotion. Owned by the walreceiver. */
import type { Lsn, SettledEntry } from '@mirabelle/messages'
import type { SettledAnswer, SettledKnown } from '../api.ts'
import { sizeOf } from '../sender/settled-ring.ts'

/** Bounds of what is kept. */
const MAX_ENTRIES = 8192
const MAX_BYTES = 4 * 1024 * 1024

export class SettledStore {
  #incarnation = ''
  #floor = 0
  /** In the order in which they were told; numbers of one content grow. */
  #entries = new Map<number, SettledEntry>()
  #bytes = 0

  /** The stream begins: what the sender tells now replaces what was known. */
  begin(incarnation: string, floor: number, entries: readonly SettledEntry[]): void {
    this.#forget(incarnation, floor)
    this.#add(entries)
  }

  /** A frame of the stream. */
  told(incarnation: string, floor: number, entries: readonly SettledEntry[]): void {
    if (incarnation !== this.#incarnation) this.#forget(incarnation, floor)
    this.#floor = Math.max(this.#floor, floor)
    this.#add(entries)
  }

  /** Of these statements those that are complete at an LSN up to `end`. Nothing is known of another incarnation. */
  lookup(incarnation: string, seqs: readonly number[], end: Lsn): SettledAnswer {
    if (incarnation !== this.#incarnation) return { floor: Number.MAX_SAFE_INTEGER, settled: [] }
    const settled = seqs.flatMap((seq) => {
      const entry = this.#entries.get(seq)
      return entry !== undefined && entry[1] <= end ? [entry] : []
    })
    return { floor: this.#floor, settled }
  }

  /** All that is complete at an LSN up to `end`. */
  known(end: Lsn): SettledKnown {
    const entries = [...this.#entries.values()].filter((entry) => entry[1] <= end)
    return {
      incarnation: this.#incarnation,
      floor: this.#floor,
      entries: entries.sort((a, b) => a[0] - b[0]),
    }
  }

  #add(entries: readonly SettledEntry[]): void {
    for (const entry of entries) {
      const old = this.#entries.get(entry[0])
      if (old !== undefined) this.#bytes -= sizeOf(old)
      this.#entries.set(entry[0], entry)
      this.#bytes += sizeOf(entry)
    }
    for (const [seq, entry] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#bytes <= MAX_BYTES && seq >= this.#floor) break
      this.#entries.delete(seq)
      this.#bytes -= sizeOf(entry)
      this.#floor = Math.max(this.#floor, seq + 1)
    }
  }

  #forget(incarnation: string, floor: number): void {
    this.#incarnation = incarnation
    this.#floor = floor
    this.#entries.clear()
    this.#bytes = 0
  }
}
