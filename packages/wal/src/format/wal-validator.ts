/**
 * Checks WAL as it streams by: pages, record headers, CRC-32C, the chain of xl_prev.
 *
 * Made by the walreceiver, by the scan of a WAL folder and by waldump; lives as long as its stream. Fed contiguous bytes in pieces of any
 * size it promises that every record that ends at or before `validEnd` is exactly what PostgreSQL wrote, and says precisely what is
 * wrong otherwise. It keeps no bytes (unless records are collected), so its memory does not depend on the length of a record.
 *
 * Invariants: `validEnd` never goes back; after a problem nothing is consumed any more; `position` is the LSN of the next byte.
 */
import { formatLsn } from '@mirabelle/messages'
import type { Lsn } from '@mirabelle/messages'
import { crc32c } from '@mirabelle/runtime'
import * as c from './constants.ts'
import type { TimelineSpan } from './history.ts'
import { readBigU64, readU32, readU64 } from './little-endian.ts'
import { headerLength, pageProblem, readPageHeader } from './page-header.ts'
import type { WalProblem, WalProblemKind, WalRecord, WalValidatorOptions } from './wal-record.ts'

type Mode = 'record' | 'head' | 'body' | 'tail' | 'switch'

export class WalValidator {
  readonly segmentSize: number
  /** LSN of the next byte. */
  position: Lsn
  /** End of the last record that passed; the start before there was one. */
  validEnd: Lsn
  /** Start of the last record that passed, undefined before there was one (and none was given). */
  lastRecord: Lsn | undefined
  problem: WalProblem | undefined
  /** The rest of a record whose head lies before the start: accepted without a check. */
  unverifiedTail: { readonly from: Lsn; readonly to: Lsn } | undefined
  systemIdentifier: bigint | undefined

  readonly #options: WalValidatorOptions
  #spans: readonly TimelineSpan[]
  #mode: Mode = 'record'
  #fresh: boolean
  #passedAny = false
  /** True while the header of the page at `position` (or before it) is not complete. */
  #inPageHeader: boolean
  readonly #pageHeader = new Uint8Array(c.LONG_HEADER)
  #pageHeaderHave = 0
  readonly #head = new Uint8Array(c.RECORD_HEADER)
  #headHave = 0
  #recordStart: Lsn = 0
  /** Bytes of the record (or of the tail) that are still to come. */
  #remaining = 0
  #crc = 0
  #switchEnd: Lsn = 0
  #pieces: Uint8Array[] = []

  constructor(options: WalValidatorOptions) {
    this.#options = options
    this.segmentSize = options.segmentSize ?? c.DEFAULT_SEGMENT_SIZE
    this.#spans = options.spans ?? []
    this.position = options.start
    this.validEnd = options.start
    this.lastRecord = options.prev
    this.systemIdentifier = options.systemIdentifier
    this.#fresh = !options.atRecord
    this.#inPageHeader = options.start % c.PAGE_SIZE === 0
    if (!options.atRecord && options.start % this.segmentSize !== 0)
      throw new RangeError(
        `WAL can only be checked from a record boundary or the start of a segment, not ${formatLsn(options.start)}`,
      )
  }

  /** A record has begun and is not complete: it starts here. */
  get partialRecord(): Lsn | undefined {
    return this.#mode === 'head' || this.#mode === 'body' ? this.#recordStart : undefined
  }

  /**
   * How far the bytes so far may be called safe: every record that ends at or before it has passed. Mostly the valid end; the newest
   * segment start when a record that is not complete goes across it and its page headers agreed so far.
   */
  get safeEnd(): Lsn {
    const checked = Math.min(this.validEnd, this.position)
    if (this.problem !== undefined || this.#pageHeaderHave > 0) return checked
    // Between records: nothing but padding and page headers follows the last one.
    if (this.#mode === 'record')
      return this.unverifiedTail !== undefined && !this.#passedAny ? checked : this.position
    if (this.#mode === 'tail') return checked
    return Math.max(checked, c.segmentStart(this.position, this.segmentSize))
  }

  /** The stream goes on on other timelines. */
  setSpans(spans: readonly TimelineSpan[]): void {
    this.#spans = spans
  }

  /** Consumes the bytes that follow those fed so far. Stops at the first problem. */
  push(bytes: Uint8Array): void {
    let at = 0
    const n = bytes.length
    while (at < n && this.problem === undefined) {
      if (this.#mode === 'switch') {
        const take = Math.min(this.#switchEnd - this.position, n - at)
        this.position += take
        at += take
        if (this.position === this.#switchEnd) {
          this.validEnd = this.#switchEnd
          this.#mode = 'record'
          this.#inPageHeader = true
        }
        continue
      }
      if (this.#inPageHeader) {
        at = this.#takePageHeader(bytes, at)
        continue
      }
      const pageRest = c.PAGE_SIZE - (this.position % c.PAGE_SIZE)
      const limit = Math.min(at + pageRest, n)
      const before = at
      if (this.#mode === 'record') at = this.#takeRecords(bytes, at, limit)
      else if (this.#mode === 'head') at = this.#takeHead(bytes, at, limit)
      else at = this.#takeBody(bytes, at, limit)
      if (at !== before && this.position % c.PAGE_SIZE === 0 && (this.#mode as Mode) !== 'switch')
        this.#inPageHeader = true
    }
  }

  /** Whole records within one page and one piece are checked where they lie. */
  #takeRecords(bytes: Uint8Array, from: number, limit: number): number {
    let at = from
    const base = this.position - from
    const { onRecord, collect } = this.#options
    for (;;) {
      const unaligned = (base + at) % c.ALIGNMENT
      if (unaligned !== 0) at = Math.min(limit, at + c.ALIGNMENT - unaligned)
      this.position = base + at
      if (at >= limit) return at
      if (limit - at < c.RECORD_HEADER) break
      const length = readU32(bytes, at)
      if (length < c.RECORD_HEADER || at + length > limit) break
      this.#recordStart = base + at
      if (!this.#headOk(bytes, at, length)) return at
      const crc = crc32c(
        bytes,
        at,
        at + c.RECORD_CRC_OFFSET,
        crc32c(bytes, at + c.RECORD_HEADER, at + length, 0),
      )
      const ok = crc === readU32(bytes, at + c.RECORD_CRC_OFFSET)
      const end = this.#endOf(bytes, at, base + at + length)
      if (onRecord !== undefined) {
        const copy = collect === true ? copyOf(bytes, at, at + length) : undefined
        onRecord(this.#record(bytes, at, end, ok, copy))
      }
      if (!ok) {
        this.#fail('bad crc', this.#recordStart, crcDetail(readU32(bytes, at + c.RECORD_CRC_OFFSET), crc))
        return at
      }
      at += length
      this.position = base + at
      this.#passed(end)
      if (this.#mode === 'switch') return at
    }
    // The record is not whole here: collect its header, then stream its body.
    this.#mode = 'head'
    this.#headHave = 0
    this.#recordStart = this.position
    this.#pieces = []
    return this.#takeHead(bytes, at, limit)
  }

  #takeHead(bytes: Uint8Array, from: number, limit: number): number {
    const take = Math.min(c.RECORD_HEADER - this.#headHave, limit - from)
    this.#head.set(bytes.subarray(from, from + take), this.#headHave)
    this.#headHave += take
    this.position += take
    if (this.#headHave >= 4) {
      const length = readU32(this.#head, 0)
      if (length === 0) this.#fail('end', this.#recordStart, 'zeros where a record should start')
      else if (length < c.RECORD_HEADER || length > c.MAX_RECORD)
        this.#fail('bad length', this.#recordStart, `record length ${length}`)
      if (this.problem !== undefined) return from + take
      this.#remaining = length - this.#headHave
    }
    if (this.#headHave < c.RECORD_HEADER) return from + take
    if (!this.#headOk(this.#head, 0, readU32(this.#head, 0))) return from + take
    this.#mode = 'body'
    this.#crc = 0
    if (this.#remaining === 0) this.#finishBody()
    return from + take
  }

  #takeBody(bytes: Uint8Array, from: number, limit: number): number {
    const to = Math.min(limit, from + this.#remaining)
    this.#remaining -= to - from
    this.position += to - from
    if (this.#mode === 'tail') {
      if (this.#remaining === 0) {
        this.unverifiedTail = { from: this.#options.start, to: c.align(this.position) }
        this.#mode = 'record'
      }
      return to
    }
    this.#crc = crc32c(bytes, from, to, this.#crc)
    if (this.#options.collect === true) this.#pieces.push(copyOf(bytes, from, to))
    if (this.#remaining === 0) this.#finishBody()
    return to
  }

  #finishBody(): void {
    const head = this.#head
    const crc = crc32c(head, 0, c.RECORD_CRC_OFFSET, this.#crc)
    const stored = readU32(head, c.RECORD_CRC_OFFSET)
    const end = this.#endOf(head, 0, this.position)
    if (this.#options.onRecord !== undefined) {
      const whole = this.#options.collect === true ? join([head.slice(), ...this.#pieces]) : undefined
      this.#pieces = []
      this.#options.onRecord(this.#record(head, 0, end, crc === stored, whole))
    }
    if (crc !== stored) {
      this.#fail('bad crc', this.#recordStart, crcDetail(stored, crc))
      return
    }
    this.#mode = 'record'
    this.#passed(end)
  }

  /** The record that starts at #recordStart has passed and ends at `end`. */
  #passed(end: Lsn): void {
    this.#fresh = false
    this.#passedAny = true
    this.lastRecord = this.#recordStart
    const aligned = c.align(this.position)
    this.validEnd = aligned
    if (end !== aligned) {
      this.#mode = 'switch'
      this.#switchEnd = end
    }
  }

  #endOf(head: Uint8Array, at: number, rawEnd: Lsn): Lsn {
    const end = c.align(rawEnd)
    const isSwitch = head[at + 17] === c.RM_XLOG && ((head[at + 16] as number) & 0xf0) === c.XLOG_SWITCH
    if (!isSwitch || end % this.segmentSize === 0) return end
    return c.segmentStart(end, this.segmentSize) + this.segmentSize
  }

  #headOk(head: Uint8Array, at: number, length: number): boolean {
    const lsn = this.#recordStart
    if (length > c.MAX_RECORD) return this.#fail('bad length', lsn, `record length ${length}`)
    const rmgr = head[at + 17] as number
    if (rmgr > c.MAX_BUILTIN_RMGR && rmgr < c.MIN_CUSTOM_RMGR)
      return this.#fail('bad record', lsn, `resource manager ${rmgr}`)
    const prev = readU64(head, at + 8)
    if (this.lastRecord === undefined ? prev >= lsn : prev !== this.lastRecord) {
      const expected = this.lastRecord === undefined ? 'one before it' : formatLsn(this.lastRecord)
      return this.#fail('bad prev', lsn, `previous record ${formatLsn(prev)}, expected ${expected}`)
    }
    return true
  }

  #record(
    head: Uint8Array,
    at: number,
    endLsn: Lsn,
    crcOk: boolean,
    bytes: Uint8Array | undefined,
  ): WalRecord {
    const record = {
      lsn: this.#recordStart,
      endLsn,
      prev: readU64(head, at + 8),
      xid: readU32(head, at + 4),
      rmgr: head[at + 17] as number,
      info: head[at + 16] as number,
      length: readU32(head, at),
      crcOk,
    }
    return bytes === undefined ? record : { ...record, bytes }
  }

  #takePageHeader(bytes: Uint8Array, from: number): number {
    const address = this.position - this.#pageHeaderHave
    const need = headerLength(address, this.segmentSize)
    const take = Math.min(need - this.#pageHeaderHave, bytes.length - from)
    this.#pageHeader.set(bytes.subarray(from, from + take), this.#pageHeaderHave)
    this.#pageHeaderHave += take
    this.position += take
    if (this.#pageHeaderHave < need) return from + take
    this.#pageHeaderHave = 0
    this.#inPageHeader = false
    this.#checkPage(address, need)
    return from + take
  }

  #checkPage(address: Lsn, length: number): void {
    const bytes = this.#pageHeader.subarray(0, length)
    if (bytes.every((byte) => byte === 0)) {
      this.#fail('end', address, 'zeros where a page should start')
      return
    }
    const header = readPageHeader(bytes)
    const wrong = pageProblem(header, {
      address,
      segmentSize: this.segmentSize,
      systemIdentifier: this.systemIdentifier,
      spans: this.#spans,
    })
    if (wrong !== undefined) {
      this.#fail(wrong.kind, address, wrong.detail)
      return
    }
    if (length === c.LONG_HEADER) this.systemIdentifier = readBigU64(bytes, 24)
    const continues = (header.info & c.XLP_FIRST_IS_CONTRECORD) !== 0
    if ((header.info & c.XLP_FIRST_IS_OVERWRITE_CONTRECORD) !== 0 && !continues) {
      // What came before this page of an unfinished record was given up after a crash.
      this.#mode = 'record'
      this.#pieces = []
      return
    }
    if (this.#mode === 'record' && this.#fresh && continues && header.remaining > 0) {
      this.#mode = 'tail'
      this.#remaining = header.remaining
      this.#fresh = false
      return
    }
    this.#fresh = false
    const expected = this.#mode === 'record' ? 0 : this.#remaining
    if (header.remaining !== expected || continues !== expected > 0)
      this.#fail(
        'page header',
        address,
        `the page continues a record by ${continues ? header.remaining : 0} bytes, expected ${expected}`,
      )
  }

  #fail(kind: WalProblemKind, lsn: Lsn, detail: string): false {
    this.problem = { kind, lsn, detail }
    return false
  }
}

function crcDetail(stored: number, computed: number): string {
  return `stored CRC ${stored.toString(16)}, computed ${computed.toString(16)}`
}

/** A copy of its own: `slice` of a Buffer would be a view of bytes that are not ours. */
function copyOf(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const copy = new Uint8Array(to - from)
  copy.set(bytes.subarray(from, to))
  return copy
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
