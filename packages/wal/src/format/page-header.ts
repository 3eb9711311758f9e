/** WAL page headers: reading, writing, and what can be wrong with one. */
import type { Lsn, Timeline } from '@mirabelle/messages'
import {
  LONG_HEADER,
  PAGE_MAGIC,
  PAGE_SIZE,
  SHORT_HEADER,
  XLP_ALL_FLAGS,
  XLP_LONG_HEADER,
} from './constants.ts'
import type { TimelineSpan } from './history.ts'
import { readBigU64, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './little-endian.ts'

/** What a page header says. */
export interface PageHeader {
  readonly magic: number
  readonly info: number
  readonly timeline: Timeline
  readonly address: Lsn
  /** Bytes of a record from earlier pages that are still to come, this page included. */
  readonly remaining: number
  /** Only on the first page of a segment. */
  readonly systemIdentifier?: bigint
  readonly segmentSize?: number
  readonly pageSize?: number
}

/** Length of the header of the page at this position. */
export function headerLength(pageAddress: Lsn, segmentSize: number): number {
  return pageAddress % segmentSize === 0 ? LONG_HEADER : SHORT_HEADER
}

/** Reads a header; the long fields when the flag for them is set and the bytes are there. */
export function readPageHeader(bytes: Uint8Array, at = 0): PageHeader {
  const info = readU16(bytes, at + 2)
  const short = {
    magic: readU16(bytes, at),
    info,
    timeline: readU32(bytes, at + 4),
    address: readU64(bytes, at + 8),
    remaining: readU32(bytes, at + 16),
  }
  if ((info & XLP_LONG_HEADER) === 0 || bytes.length < at + LONG_HEADER) return short
  return {
    ...short,
    systemIdentifier: readBigU64(bytes, at + 24),
    segmentSize: readU32(bytes, at + 32),
    pageSize: readU32(bytes, at + 36),
  }
}

/** Writes a header at the start of `page`; returns its length. */
export function writePageHeader(
  page: Uint8Array,
  header: { info: number; timeline: Timeline; address: Lsn; remaining: number },
  segment: { size: number; systemIdentifier: bigint },
): number {
  const long = header.address % segment.size === 0
  writeU16(page, 0, PAGE_MAGIC)
  writeU16(page, 2, header.info | (long ? XLP_LONG_HEADER : 0))
  writeU32(page, 4, header.timeline)
  writeU64(page, 8, header.address)
  writeU32(page, 16, header.remaining)
  if (!long) return SHORT_HEADER
  writeU32(page, 24, Number(segment.systemIdentifier & 0xffffffffn))
  writeU32(page, 28, Number(segment.systemIdentifier >> 32n))
  writeU32(page, 32, segment.size)
  writeU32(page, 36, PAGE_SIZE)
  return LONG_HEADER
}

/** What is wrong with a page header, or undefined. `spans` tells which timelines may stand where; empty = any. */
export function pageProblem(
  header: PageHeader,
  expected: {
    address: Lsn
    segmentSize: number
    systemIdentifier: bigint | undefined
    spans: readonly TimelineSpan[]
  },
): { kind: 'page header' | 'page address' | 'timeline'; detail: string } | undefined {
  const bad = (detail: string): { kind: 'page header'; detail: string } => ({ kind: 'page header', detail })
  if (header.magic !== PAGE_MAGIC)
    return bad(`magic ${header.magic.toString(16)}, expected ${PAGE_MAGIC.toString(16)}`)
  if ((header.info & ~XLP_ALL_FLAGS) !== 0) return bad(`unknown flags ${header.info.toString(16)}`)
  const long = expected.address % expected.segmentSize === 0
  if (long !== ((header.info & XLP_LONG_HEADER) !== 0))
    return bad(long ? 'a segment must start with a long header' : 'a long header in the middle of a segment')
  if (header.address !== expected.address) {
    return { kind: 'page address', detail: `the page says it belongs at ${header.address}` }
  }
  if (long) {
    if (header.segmentSize !== expected.segmentSize)
      return bad(`segment size ${header.segmentSize}, expected ${expected.segmentSize}`)
    if (header.pageSize !== PAGE_SIZE) return bad(`page size ${header.pageSize}, expected ${PAGE_SIZE}`)
    if (
      expected.systemIdentifier !== undefined &&
      header.systemIdentifier !== undefined &&
      header.systemIdentifier !== expected.systemIdentifier
    )
      return bad(`system identifier ${header.systemIdentifier}, expected ${expected.systemIdentifier}`)
  }
  const { spans } = expected
  if (spans.length === 0) return undefined
  const span = spans.find((one) => one.timeline === header.timeline)
  if (span === undefined)
    return { kind: 'timeline', detail: `timeline ${header.timeline} is not in the history` }
  if (header.address >= span.end || header.address + PAGE_SIZE <= span.begin)
    return {
      kind: 'timeline',
      detail: `timeline ${header.timeline} has no WAL there (from ${span.begin} to ${span.end})`,
    }
  return undefined
}
