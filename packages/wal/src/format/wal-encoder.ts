/**
 * Makes valid PostgreSQL WAL out of payloads: pages, headers, continuation across pages and segments, CRC-32C. The stand-in engine of the
 * simulation writes its WAL with it, and tests make records of any length.
 */
import type { Lsn, Timeline } from '@mirabelle/messages'
import { crc32c } from '@mirabelle/runtime'
import * as c from './constants.ts'
import { writeU32, writeU64 } from './little-endian.ts'
import { headerLength, writePageHeader } from './page-header.ts'

/** Where WAL is written next; carried from call to call. */
export interface WalPosition {
  readonly timeline: Timeline
  /** End of the last record (a multiple of 8). */
  readonly lsn: Lsn
  /** Start of the last record, 0 for none. */
  readonly prev: Lsn
  readonly segmentSize: number
  readonly systemIdentifier: bigint
}

/** One record to write. */
export interface WalRecordInput {
  readonly payload: Uint8Array
  /** 0 by default. */
  readonly xid?: number
  /** Resource manager, 128 (the first one for extensions) by default. */
  readonly rmgr?: number
  readonly info?: number
}

/** The bytes [start, next.lsn) and where each record lies. */
export interface EncodedWal {
  readonly start: Lsn
  readonly bytes: Uint8Array
  readonly records: readonly { readonly lsn: Lsn; readonly endLsn: Lsn }[]
  readonly next: WalPosition
}

/** Writes records one after the other from `position` on. A record that ends a segment (XLOG_SWITCH) is padded with zeros to its end. */
export function encodeWalRecords(position: WalPosition, inputs: readonly WalRecordInput[]): EncodedWal {
  const out = new PageWriter(position)
  const records: { lsn: Lsn; endLsn: Lsn }[] = []
  let prev = position.prev
  for (const input of inputs) {
    out.startRecord()
    const lsn = out.lsn
    out.write(encodeRecord(input, prev))
    const endLsn = out.endRecord(input.rmgr === c.RM_XLOG && (input.info ?? 0) === c.XLOG_SWITCH)
    records.push({ lsn, endLsn })
    prev = lsn
  }
  return {
    start: position.lsn,
    bytes: out.take(),
    records,
    next: { ...position, lsn: out.lsn, prev },
  }
}

/** One record without page headers. */
export function encodeRecord(input: WalRecordInput, prev: Lsn): Uint8Array {
  const { payload } = input
  const short = payload.length < 256
  const dataHeader = payload.length === 0 ? 0 : short ? 2 : 5
  const record = new Uint8Array(c.RECORD_HEADER + dataHeader + payload.length)
  writeU32(record, 0, record.length)
  writeU32(record, 4, input.xid ?? 0)
  writeU64(record, 8, prev)
  record[16] = input.info ?? 0
  record[17] = input.rmgr ?? c.MIN_CUSTOM_RMGR
  if (payload.length > 0) {
    record[c.RECORD_HEADER] = short ? c.XLR_BLOCK_ID_DATA_SHORT : c.XLR_BLOCK_ID_DATA_LONG
    if (short) record[c.RECORD_HEADER + 1] = payload.length
    else writeU32(record, c.RECORD_HEADER + 1, payload.length)
    record.set(payload, c.RECORD_HEADER + dataHeader)
  }
  const body = crc32c(record, c.RECORD_HEADER, record.length, 0)
  writeU32(record, c.RECORD_CRC_OFFSET, crc32c(record, 0, c.RECORD_CRC_OFFSET, body))
  return record
}

class PageWriter {
  lsn: Lsn
  readonly #position: WalPosition
  readonly #pieces: Uint8Array[] = []
  #length = 0

  constructor(position: WalPosition) {
    this.#position = position
    this.lsn = position.lsn
  }

  /** A record starts on a page that has its header. */
  startRecord(): void {
    if (this.lsn % c.PAGE_SIZE === 0) this.#pageHeader(0)
  }

  write(record: Uint8Array): void {
    let at = 0
    while (at < record.length) {
      if (this.lsn % c.PAGE_SIZE === 0) this.#pageHeader(record.length - at)
      const room = c.PAGE_SIZE - (this.lsn % c.PAGE_SIZE)
      const piece = record.subarray(at, at + room)
      this.#push(piece)
      at += piece.length
    }
  }

  endRecord(endsSegment: boolean): Lsn {
    this.#push(new Uint8Array(c.align(this.lsn) - this.lsn))
    const { segmentSize } = this.#position
    if (endsSegment && this.lsn % segmentSize !== 0)
      this.#push(new Uint8Array(segmentSize - (this.lsn % segmentSize)))
    return this.lsn
  }

  take(): Uint8Array {
    const bytes = new Uint8Array(this.#length)
    let at = 0
    for (const piece of this.#pieces) {
      bytes.set(piece, at)
      at += piece.length
    }
    return bytes
  }

  #pageHeader(remaining: number): void {
    const { timeline, segmentSize, systemIdentifier } = this.#position
    const header = new Uint8Array(headerLength(this.lsn, segmentSize))
    const info = remaining > 0 ? c.XLP_FIRST_IS_CONTRECORD : 0
    writePageHeader(
      header,
      { info, timeline, address: this.lsn, remaining },
      { size: segmentSize, systemIdentifier },
    )
    this.#push(header)
  }

  #push(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.#pieces.push(piece)
    this.#length += piece.length
    this.lsn += piece.length
  }
}
