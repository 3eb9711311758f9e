/** What the check of WAL speaks of: records, problems, where to begin. */
import { formatLsn } from '@mirabelle/messages'
import type { Lsn } from '@mirabelle/messages'
import type { TimelineSpan } from './history.ts'

/** What can be wrong. `end`: zeros where a record or page should start, which is how WAL ends in a file. */
export type WalProblemKind =
  'end' | 'bad crc' | 'bad length' | 'bad prev' | 'bad record' | 'page header' | 'page address' | 'timeline'

export interface WalProblem {
  readonly kind: WalProblemKind
  /** The record or page at fault. */
  readonly lsn: Lsn
  readonly detail: string
}

/** One WAL record. */
export interface WalRecord {
  readonly lsn: Lsn
  /** Where the next record can start: padding included, and after XLOG_SWITCH the end of the segment. */
  readonly endLsn: Lsn
  /** Start of the record before it. */
  readonly prev: Lsn
  readonly xid: number
  /** Number of the resource manager. */
  readonly rmgr: number
  readonly info: number
  /** Length with its header, without padding and page headers. */
  readonly length: number
  readonly crcOk: boolean
  /** The whole record without page headers, when records are collected. */
  readonly bytes?: Uint8Array
}

export interface WalValidatorOptions {
  /** LSN of the first byte that will be fed: a record boundary, or the start of a segment. */
  readonly start: Lsn
  /** Size of segments, 1 MiB by default. */
  readonly segmentSize?: number
  /** True when a record starts at `start` (or right after the page header there). False: the start of a segment, which may hold the rest of an older record. */
  readonly atRecord: boolean
  /** Start of the record before `start`, checked against the first record. */
  readonly prev?: Lsn
  /** Timelines that pages may have, and where; any when left out. */
  readonly spans?: readonly TimelineSpan[]
  /** Expected in long page headers; the first one seen counts when left out. */
  readonly systemIdentifier?: bigint
  /** Called for each record, also for one with a bad CRC (the last one then). */
  readonly onRecord?: (record: WalRecord) => void
  /** Puts the bytes of each record into `WalRecord.bytes`. */
  readonly collect?: boolean
}

/** The sentence that says what is wrong and where. */
export function describeProblem(problem: WalProblem): string {
  return `${problem.kind} at ${formatLsn(problem.lsn)}: ${problem.detail}`
}
