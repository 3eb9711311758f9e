/**
 * Keeps the WAL bytes that PostgreSQL has written and that were not reported yet, so that WAL can be shipped without
 * reading it back from the files.
 *
 * PostgreSQL writes whole pages, in order; the last page of a write may be partial and is written again, as a whole, by
 * the next write. So the buffer always begins at a page boundary at or below the first byte that was not reported.
 */
import type { Lsn } from '@mirabelle/messages'
import { WAL_PAGE_BYTES } from '../layout.ts'

const INITIAL_BYTES = 512 * 1024

export class WalCapture {
  #buffer = new Uint8Array(INITIAL_BYTES)
  /** LSN of the buffer's first byte. */
  #start: Lsn
  /** LSN behind the last captured byte. */
  #end: Lsn
  #reported: Lsn

  constructor(reported: Lsn) {
    this.#reported = reported
    this.#start = reported - (reported % WAL_PAGE_BYTES)
    this.#end = this.#start
  }

  /** WAL before this LSN was taken. */
  get reported(): Lsn {
    return this.#reported
  }

  /** Pages are written up to here; the last one may be partial. At or above `reported`. */
  get written(): Lsn {
    return Math.max(this.#end, this.#reported)
  }

  /** All bytes before this LSN are final: at least one later page has been written, or the page was reported. */
  get finalEnd(): Lsn {
    return Math.max(this.#reported, this.#end - WAL_PAGE_BYTES)
  }

  /** Takes note of a write of `bytes` at `lsn`. */
  write(lsn: Lsn, bytes: Uint8Array): void {
    if (lsn < this.#start || lsn > this.#end) {
      // A hole or a step back would mean that what we take PostgreSQL to do is wrong: shipping on would ship rubbish.
      throw new Error(`WAL was written at ${lsn}, expected between ${this.#start} and ${this.#end}`)
    }
    const at = lsn - this.#start
    this.#reserve(at + bytes.length)
    this.#buffer.set(bytes, at)
    this.#end = Math.max(this.#end, lsn + bytes.length)
  }

  /** Takes out the bytes [reported, to). `to` is at most `written`. */
  take(to: Lsn): Uint8Array<ArrayBuffer> {
    if (to > this.written || to < this.#reported)
      throw new Error(`cannot take WAL up to ${to}: have [${this.#reported}, ${this.written})`)
    const bytes = this.#buffer.slice(this.#reported - this.#start, to - this.#start)
    const keepFrom = to - (to % WAL_PAGE_BYTES)
    if (keepFrom > this.#start) {
      if (this.#end > keepFrom) this.#buffer.copyWithin(0, keepFrom - this.#start, this.#end - this.#start)
      this.#start = keepFrom
      this.#end = Math.max(this.#end, keepFrom)
    }
    this.#reported = to
    return bytes
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(bytes, this.#buffer.length * 2))
    larger.set(this.#buffer.subarray(0, this.#end - this.#start))
    this.#buffer = larger
  }
}
