/**
 * Where things lie in an instance folder, and how WAL segment files are called. Pure.
 *
 *     D/pgdata/        PostgreSQL's data directory
 *     D/wal/           WAL that a mirror received: segment files and timeline history files
 *     D/instance.lock  who holds the folder (for the message; the lock itself is kernel memory)
 *     D/instance.json  identity, owned by the instance package
 */
import { join } from 'node:path'
import type { Lsn, Timeline } from '@mirabelle/messages'

/** Size of a WAL segment file when the template was made as `createTemplate` does, in bytes. */
export const WAL_SEGMENT_BYTES = 1024 * 1024
/** PostgreSQL's WAL page size, in bytes: WAL is written in whole pages. */
export const WAL_PAGE_BYTES = 8192
/** PostgreSQL's page size, in bytes: relations are files of whole pages. */
export const BLOCK_BYTES = 8192

/** The paths of one instance folder. */
export interface InstancePaths {
  readonly root: string
  readonly pgdata: string
  readonly pgWal: string
  readonly controlFile: string
  readonly receivedWal: string
  readonly lockFile: string
}

/** The paths of the instance folder `root`. */
export function instancePaths(root: string): InstancePaths {
  const pgdata = join(root, 'pgdata')
  return {
    root,
    pgdata,
    pgWal: join(pgdata, 'pg_wal'),
    controlFile: join(pgdata, 'global', 'pg_control'),
    receivedWal: join(root, 'wal'),
    lockFile: join(root, 'instance.lock'),
  }
}

/** What a WAL segment's file name says. */
export interface SegmentName {
  readonly timeline: Timeline
  /** LSN of the segment's first byte. */
  readonly start: Lsn
}

const SEGMENT = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/
const HISTORY = /^[0-9A-F]{8}\.history$/

/** Reads a segment file name; undefined when `name` is not one. */
export function parseSegmentName(name: string, segmentBytes: number): SegmentName | undefined {
  const match = SEGMENT.exec(name)
  if (match === null) return undefined
  const [, timeline, high, low] = match as unknown as [string, string, string, string]
  return {
    timeline: Number.parseInt(timeline, 16),
    start: Number.parseInt(high, 16) * 2 ** 32 + Number.parseInt(low, 16) * segmentBytes,
  }
}

/** True for `TTTTTTTT.history`. */
export function isHistoryName(name: string): boolean {
  return HISTORY.test(name)
}

/** Name of the segment file that holds the byte at `lsn`. */
export function segmentName(timeline: Timeline, lsn: Lsn, segmentBytes: number): string {
  const high = Math.floor(lsn / 2 ** 32)
  const low = Math.floor((lsn % 2 ** 32) / segmentBytes)
  return hex8(timeline) + hex8(high) + hex8(low)
}

/** Names of the segment files that hold [start, end), in order. Empty when the range is. */
export function segmentNames(timeline: Timeline, start: Lsn, end: Lsn, segmentBytes: number): string[] {
  const names: string[] = []
  for (let at = start - (start % segmentBytes); at < end; at += segmentBytes)
    names.push(segmentName(timeline, at, segmentBytes))
  return names
}

function hex8(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0')
}
