/**
 * Finds where the WAL in a folder ends: of an ex-primary that was killed (`pgdata/pg_wal`), or of a mirror that starts (`wal`).
 *
 * Every record of the newest run of segments is checked, so the end is the end of the last record that is whole: a torn tail, the zeros of
 * a segment that is not full and recycled segments (old pages under a name of the future) all end the run.
 */
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { LONG_HEADER, MAX_SEGMENT_SIZE, PAGE_MAGIC, PAGE_SIZE, segmentStart } from '../format/constants.ts'
import { parseWalFileName, walFileName } from '../format/file-names.ts'
import { fileTimeline, parseHistory, timelineSpans } from '../format/history.ts'
import { readPageHeader } from '../format/page-header.ts'
import type { PageHeader } from '../format/page-header.ts'
import { WalValidator } from '../format/wal-validator.ts'
import type { WalProblem } from '../format/wal-record.ts'
import { createWalFiles, namesIn, openIfThere, readHistoryFile } from './wal-files.ts'

export interface WalEnd {
  /** The newest timeline that has WAL here (or the one asked for). */
  readonly timeline: Timeline
  /** Its ancestors, oldest first; empty when its history file is not here. */
  readonly history: readonly HistoryEntry[]
  /** Start of the first segment of the run. */
  readonly startLsn: Lsn
  /** End of the last whole record. */
  readonly endLsn: Lsn
  /** Start of the last whole record, undefined when there is none. */
  readonly lastRecord: Lsn | undefined
  readonly segmentSize: number
  readonly systemIdentifier: bigint | undefined
  /** Why the run ended there; undefined for the usual end (zeros, an old page of a recycled segment, the last byte). A torn tail shows as a bad CRC or a bad record. */
  readonly problem: WalProblem | undefined
  /** Segments after the end that hold WAL of their own place: with a problem, more than 0 means corruption inside, not a torn tail. */
  readonly segmentsBeyond: number
}

interface Segment {
  readonly timeline: Timeline
  readonly start: Lsn
}

/** Where WAL ends in a folder; undefined when there is none. Rejects with what the disk says, or `datadir.broken` for an unreadable history. */
export async function findWalEnd(
  disk: Disk,
  dir: string,
  options: { readonly timeline?: Timeline; readonly from?: Lsn } = {},
): Promise<WalEnd | undefined> {
  const found = await scan(disk, dir, options)
  const parent = found?.history.at(-1)
  if (found === undefined || parent === undefined || options.timeline !== undefined) return found
  // A mirror that had just begun to follow a new timeline may have more of this segment in the file of the old one.
  const from = segmentStart(found.endLsn, found.segmentSize)
  const older = await scan(disk, dir, { timeline: parent.timeline, from })
  if (older === undefined || older.endLsn <= found.endLsn || older.endLsn > parent.end) return found
  return { ...older, startLsn: Math.min(found.startLsn, older.startLsn) }
}

async function scan(
  disk: Disk,
  dir: string,
  options: { readonly timeline?: Timeline; readonly from?: Lsn },
): Promise<WalEnd | undefined> {
  const found = await segmentsIn(disk, dir)
  if (found === undefined) return undefined
  const { segmentSize } = found
  const timeline = options.timeline ?? Math.max(...found.segments.map((one) => one.timeline))
  const reader = createWalFiles({ disk, folders: [dir], segmentSize })
  const history = (await readHistoryFile(reader, timeline, parseHistory)) ?? []
  const spans = timelineSpans(history, timeline)
  const starts = new Set<Lsn>()
  for (const one of found.segments) {
    const span = spans.find((each) => each.timeline === one.timeline)
    if (span !== undefined && one.start < span.end) starts.add(one.start)
  }
  const first = firstOfRun(starts, segmentSize, options.from)
  if (first === undefined) return undefined
  const knowsAncestors = timeline === 1 || history.length > 0
  const validator = new WalValidator({
    start: first,
    atRecord: false,
    segmentSize,
    ...(knowsAncestors ? { spans } : {}),
  })
  let last: Uint8Array = new Uint8Array(0)
  for (let start = first; starts.has(start) && validator.problem === undefined; start += segmentSize) {
    last = await readSegment(
      disk,
      dir,
      { timeline: fileTimeline(spans, start, segmentSize), start },
      spans.map((s) => s.timeline),
      segmentSize,
    )
    validator.push(last)
  }
  const at = validator.problem?.lsn ?? validator.position
  const { problem } = validator
  const usual = problem === undefined || problem.kind === 'end' || problem.kind === 'page address'
  // A promoted mirror has the last WAL of the old timeline where it received it: here the old one ends before the new one begins.
  const fork = segmentStart(spans.at(-1)?.begin ?? 0, segmentSize)
  const isHole = usual || endsInZeros(last, at, segmentSize)
  if (isHole && validator.validEnd < fork && first < fork && starts.has(fork))
    return scan(disk, dir, { timeline, from: fork })
  return {
    timeline,
    history,
    startLsn: first,
    endLsn: validator.validEnd,
    lastRecord: validator.lastRecord,
    segmentSize,
    systemIdentifier: validator.systemIdentifier,
    problem: usual ? undefined : problem,
    segmentsBeyond: [...starts].filter((one) => one > at).length,
  }
}

/** True when nothing was written in the segment behind the page of `at`: it was cut off there, not damaged. */
function endsInZeros(segment: Uint8Array, at: Lsn, segmentSize: number): boolean {
  const next = at - segmentStart(at, segmentSize) + PAGE_SIZE - (at % PAGE_SIZE)
  return segment.subarray(next).every((byte) => byte === 0)
}

/** Segment files whose first page belongs to their name. */
async function segmentsIn(
  disk: Disk,
  dir: string,
): Promise<{ segmentSize: number; segments: Segment[] } | undefined> {
  const bySize = new Map<number, Segment[]>()
  for (const name of await namesIn(disk, dir)) {
    if (!/^[0-9A-F]{24}$/.test(name)) continue
    const header = await firstHeader(disk, `${dir}/${name}`)
    if (header?.segmentSize === undefined || !isSegmentSize(header)) continue
    const parsed = parseWalFileName(name, header.segmentSize)
    if (parsed === undefined || parsed.start !== header.address) continue
    const others = bySize.get(header.segmentSize)
    if (others === undefined) bySize.set(header.segmentSize, [parsed])
    else others.push(parsed)
  }
  // One cluster has one size: a file of another one is not part of its WAL, whatever its name.
  const [most] = [...bySize].sort(([, a], [, b]) => b.length - a.length)
  return most === undefined ? undefined : { segmentSize: most[0], segments: most[1] }
}

/**
 * A size that a segment can have (PostgreSQL's own are 1 MiB to 1 GiB, the simulation's smaller). Whatever a file says, nobody makes room for more, and
 * its name is only read with a size that divides 4 GiB.
 */
function isSegmentSize({ magic, segmentSize = 0, pageSize }: PageHeader): boolean {
  const isPowerOfTwo = (segmentSize & (segmentSize - 1)) === 0
  return (
    magic === PAGE_MAGIC &&
    pageSize === PAGE_SIZE &&
    isPowerOfTwo &&
    segmentSize >= PAGE_SIZE &&
    segmentSize <= MAX_SEGMENT_SIZE
  )
}

async function firstHeader(disk: Disk, path: string): Promise<PageHeader | undefined> {
  const file = await openIfThere(disk, path)
  if (file === undefined) return undefined
  try {
    const bytes = await file.read(0, LONG_HEADER)
    return bytes.length === LONG_HEADER ? readPageHeader(bytes) : undefined
  } finally {
    await file.close()
  }
}

/** The start of the newest run without a gap, or of the run that holds `from`. */
function firstOfRun(starts: ReadonlySet<Lsn>, segmentSize: number, from: Lsn | undefined): Lsn | undefined {
  if (from !== undefined) {
    const start = segmentStart(from, segmentSize)
    return starts.has(start) ? start : undefined
  }
  if (starts.size === 0) return undefined
  let first = Math.max(...starts)
  while (starts.has(first - segmentSize)) first -= segmentSize
  return first
}

/** A segment, from the file of its timeline or else of an ancestor. */
async function readSegment(
  disk: Disk,
  dir: string,
  segment: Segment,
  timelines: readonly Timeline[],
  segmentSize: number,
): Promise<Uint8Array> {
  const order = timelines.filter((one) => one <= segment.timeline).reverse()
  for (const timeline of order) {
    const file = await openIfThere(disk, `${dir}/${walFileName(timeline, segment.start, segmentSize)}`)
    if (file === undefined) continue
    try {
      return await file.read(0, segmentSize)
    } finally {
      await file.close()
    }
  }
  return new Uint8Array(0)
}
