/**
 * Splits the CopyData of COPY FROM STDIN into rows and finds the content of each, without touching the bytes. The coordinator makes one
 * for each COPY, pushes every CopyData payload (cut anywhere), and calls `finish` at CopyDone.
 *
 * Promises: the rows handed out, put together, are the input without header and end marker; consecutive rows of one content come in one
 * range; ranges are views of the pushed bytes or of a copy of ours, and are never written again. A row that has too few fields to show its
 * key goes to content 0, whose PostgreSQL then says what is wrong with it. Throws Refusal 22P04 and 54000 on input that cannot be split.
 */
import { Refusal } from '../errors.ts'
import { contentOfKey, type EngineHash, type KeyValue } from '../hash/distribution-hash.ts'
import type { CopyInPlan } from '../plan.ts'
import { CopyFieldReader } from './copy-fields.ts'
import { CopyLineFinder } from './copy-lines.ts'

/** Content number for rows that any content may take (DISTRIBUTED RANDOMLY) or that all must take (REPLICATED). */
export const ANY_CONTENT = -1
export const ALL_CONTENTS = -2

export interface CopyRowEvents {
  /** Whole rows, line ends included, for one content (or ANY_CONTENT, ALL_CONTENTS). */
  rows(content: number, bytes: Uint8Array, count: number): void
  /** One row whose key only the coordinator's engine can hash: ask, then `contentOfKey(key, …)`. */
  unplaced(bytes: Uint8Array, key: readonly KeyValue[]): void
}

/** A row longer than this is refused; PostgreSQL itself takes 1 GB, the frames between instances do not. */
export const MAX_ROW_BYTES = 48 * 1024 * 1024

const NO_BYTES = new Uint8Array(0)

export class CopyRowSplitter {
  readonly #plan: CopyInPlan
  readonly #segmentCount: number
  readonly #events: CopyRowEvents
  readonly #lines: CopyLineFinder
  readonly #fields: CopyFieldReader
  #carry: Uint8Array = NO_BYTES
  #header: boolean
  #ended = false
  #runContent = 0
  #runStart = 0
  #runCount = 0
  #rowCount = 0

  constructor(plan: CopyInPlan, segmentCount: number, events: CopyRowEvents) {
    this.#plan = plan
    this.#segmentCount = segmentCount
    this.#events = events
    this.#lines = new CopyLineFinder(plan.options)
    this.#fields = new CopyFieldReader(plan)
    this.#header = plan.options.header !== false
  }

  /** Rows handed out so far. */
  get rowCount(): number {
    return this.#rowCount
  }

  push(chunk: Uint8Array): void {
    if (this.#ended || chunk.length === 0) return
    const bytes = this.#carry.length === 0 ? chunk : concat(this.#carry, chunk)
    const used = this.#split(bytes, false)
    this.#carry = bytes.subarray(used)
    if (this.#carry.length > MAX_ROW_BYTES) {
      throw new Refusal(
        '54000',
        `row ${this.#rowCount + 1} of COPY ${this.#plan.table.name} is longer than ${MAX_ROW_BYTES} bytes`,
        'Check the line ends and quotes of the data.',
      )
    }
    // What stays is the caller's memory: keep our own copy.
    if (this.#carry.length > 0) this.#carry = Uint8Array.prototype.slice.call(this.#carry)
  }

  finish(): void {
    if (!this.#ended && this.#carry.length > 0) this.#split(this.#carry, true)
    this.#ended = true
    this.#carry = NO_BYTES
  }

  /** Hands out all whole rows; returns how many bytes are used up. */
  #split(bytes: Uint8Array, last: boolean): number {
    let start = 0
    this.#runCount = 0
    while (start < bytes.length) {
      const end = this.#lines.find(bytes, start, last)
      if (end < 0) break
      if (this.#lines.isEndMarker(bytes, start, end)) {
        this.#ended = true
        break
      }
      if (this.#header) {
        this.#header = false
        this.#checkHeader(bytes, start, end)
      } else this.#place(bytes, start, end)
      start = end
    }
    this.#flushRun(bytes, start)
    return this.#ended ? bytes.length : start
  }

  #place(bytes: Uint8Array, start: number, end: number): void {
    this.#rowCount++
    const policy = this.#plan.policy.kind
    if (policy !== 'hash')
      return this.#extendRun(bytes, start, policy === 'random' ? ANY_CONTENT : ALL_CONTENTS)
    const quick = this.#fields.quickContent(
      bytes,
      start,
      this.#lines.contentEnd(bytes, start, end),
      this.#segmentCount,
    )
    if (quick >= 0) return this.#extendRun(bytes, start, quick)
    const key = this.#fields.key(bytes, start, this.#lines.contentEnd(bytes, start, end))
    const missing: EngineHash[] = []
    const content = key === undefined ? 0 : contentOfKey(key, this.#segmentCount, undefined, missing)
    if (content >= 0 || key === undefined) return this.#extendRun(bytes, start, content)
    this.#flushRun(bytes, start)
    this.#events.unplaced(bytes.subarray(start, end), key)
    this.#runCount = 0
  }

  #extendRun(bytes: Uint8Array, start: number, content: number): void {
    if (this.#runCount > 0 && this.#runContent !== content) this.#flushRun(bytes, start)
    if (this.#runCount === 0) {
      this.#runStart = start
      this.#runContent = content
    }
    this.#runCount++
  }

  #flushRun(bytes: Uint8Array, end: number): void {
    if (this.#runCount > 0)
      this.#events.rows(this.#runContent, bytes.subarray(this.#runStart, end), this.#runCount)
    this.#runCount = 0
  }

  #checkHeader(bytes: Uint8Array, start: number, end: number): void {
    if (this.#plan.options.header !== 'match') return
    const names = this.#fields.all(bytes, start, this.#lines.contentEnd(bytes, start, end))
    const { columns, table } = this.#plan
    if (names.length === columns.length && names.every((name, i) => name === columns[i])) return
    throw new Refusal(
      '22P04',
      `header of COPY ${table.name} is (${names.join(', ')}), expected (${columns.join(', ')})`,
    )
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a, 0)
  both.set(b, a.length)
  return both
}
