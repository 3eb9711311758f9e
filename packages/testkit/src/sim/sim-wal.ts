/**
 * WAL of the stand-in engine on the files of its host: real segment files with real pages and records (`encodeWalRecords` of the wal package). Reading is
 * synchronous, as it is for the thread that PostgreSQL runs in; writing goes to the page cache, making it durable is the engine's business.
 */
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import {
  fileTimeline,
  formatHistory,
  historyFileName,
  mainData,
  PAGE_SIZE,
  parseHistory,
  parseHistoryFileName,
  parseWalFileName,
  readWalRecords,
  segmentStart,
  timelineSpans,
  walFileName,
  type EncodedWal,
  type TimelineSpan,
  type WalPosition,
} from '@mirabelle/wal'
import { decodeKv, type KvRecord } from './kv-store.ts'
import type { SimFiles } from './sim-files.ts'
import { historyPath, segmentPath, SIM_SEGMENT_BYTES } from './sim-wal-paths.ts'

/** Where the WAL of a new cluster begins. */
export const FIRST_LSN = 16 * 1024

/** In the header of a segment's first page. */
const SYSTEM_IDENTIFIER_AT = 24

/** What recovery finds. */
export interface RecoveredWal {
  readonly timeline: Timeline
  readonly history: readonly HistoryEntry[]
  readonly end: Lsn
  /** Start of the last record. */
  readonly lastRecord: Lsn
  readonly records: readonly KvRecord[]
}

/** The first segment of a new content, with what `encode` writes at its beginning. */
export function firstSegment(
  systemIdentifier: bigint,
  encode: (start: WalPosition) => EncodedWal,
): { readonly name: string; readonly bytes: Uint8Array } {
  const segment = new Uint8Array(SIM_SEGMENT_BYTES)
  segment.set(
    encode({ timeline: 1, lsn: FIRST_LSN, prev: 0, segmentSize: SIM_SEGMENT_BYTES, systemIdentifier }).bytes,
  )
  return { name: walFileName(1, FIRST_LSN, SIM_SEGMENT_BYTES), bytes: segment }
}

/** The newest timeline that has WAL or a history in the folders. */
export function newestTimeline(files: SimFiles, folders: readonly string[]): Timeline {
  let newest = 1
  for (const folder of folders) {
    if (!files.isFolder(folder)) continue
    for (const { name } of files.list(folder)) {
      const timeline = parseHistoryFileName(name) ?? parseWalFileName(name, SIM_SEGMENT_BYTES)?.timeline ?? 0
      newest = Math.max(newest, timeline)
    }
  }
  return newest
}

const NO_HISTORY: readonly HistoryEntry[] = []
const FIRST_SPANS = timelineSpans(NO_HISTORY, 1)

export function readHistory(
  files: SimFiles,
  folders: readonly string[],
  timeline: Timeline,
): readonly HistoryEntry[] {
  // The first timeline has no ancestors.
  if (timeline === 1) return NO_HISTORY
  for (const folder of folders) {
    const file = files.file(historyPath(folder, timeline))
    if (file !== undefined) return parseHistory(Buffer.from(file.content).toString(), timeline)
  }
  return NO_HISTORY
}

function spansOf(history: readonly HistoryEntry[], timeline: Timeline): readonly TimelineSpan[] {
  return timeline === 1 ? FIRST_SPANS : timelineSpans(history, timeline)
}

function isSameHistory(a: readonly HistoryEntry[], b: readonly HistoryEntry[]): boolean {
  return a === b || formatHistory(a) === formatHistory(b)
}

/**
 * WAL that is no part of the timeline, written as primary behind the point where the two parted: what it changed is in the base. In words; undefined when there is
 * none. A promotion that did not come to its end has changed nothing.
 */
export function strayWal(
  files: SimFiles,
  pgWal: string,
  folders: readonly string[],
  timeline: Timeline,
): string | undefined {
  const history = readHistory(files, folders, timeline)
  for (let own = newestTimeline(files, [pgWal]); own > 0; own--) {
    const fork = (own < timeline ? history : readHistory(files, folders, own)).find(
      (entry) => entry.timeline === Math.min(own, timeline),
    )
    if (own === timeline || fork === undefined) continue
    // What was received in the same segments and never acknowledged was not replayed.
    const { records, end } = recoverWal(files, folders, own, writtenEnd(files, pgWal, own))
    const common = recoverWal(files, folders, own, fork.end).records.length
    if (records.slice(common).some(({ t }) => t !== 'checkpoint'))
      return `WAL of timeline ${own} up to ${end}, which parted from timeline ${timeline} at ${fork.end}`
  }
  return undefined
}

/** Nothing but zeros follows it in the segments of a folder. */
function writtenEnd(files: SimFiles, folder: string, timeline: Timeline): Lsn {
  let end = 0
  for (const { name } of files.list(folder)) {
    const parsed = parseWalFileName(name, SIM_SEGMENT_BYTES)
    if (parsed?.timeline === timeline)
      end = Math.max(end, parsed.start + 8 * Math.ceil((files.file(`${folder}/${name}`)?.filled ?? 0) / 8))
  }
  return end
}

/**
 * WAL that was received and that a start as primary would not read: PostgreSQL reads its own folder, and only a promotion, which begins a newer timeline there, takes
 * in what was received. In words; undefined when there is none.
 */
export function unreadWal(files: SimFiles, pgWal: string, received: string): string | undefined {
  if (!files.isFolder(received)) return undefined
  const own = newestTimeline(files, [pgWal])
  const unread = files
    .list(received)
    .findLast(({ name }) => (parseWalFileName(name, SIM_SEGMENT_BYTES)?.timeline ?? 0) >= own)
  return unread === undefined ? undefined : `the received ${unread.name}`
}

/** WAL as it was read, and where each of its records lies. */
interface ReadWal {
  readonly bytes: Uint8Array
  readonly wal: RecoveredWal
  readonly places: readonly { readonly lsn: Lsn; readonly endLsn: Lsn }[]
}

/**
 * What was read last, by database and timeline: the next time, on the disk of the primary or of its mirror, only what differs from it or follows it is
 * read.
 */
const known = new Map<string, ReadWal>()

/** Reads the WAL of a timeline from its beginning as far as it is good, or up to `limit`. `durable`: as it would be after a loss of power. */
export function recoverWal(
  files: SimFiles,
  folders: readonly string[],
  timeline: Timeline,
  limit = Number.POSITIVE_INFINITY,
  durable = false,
): RecoveredWal {
  const history = readHistory(files, folders, timeline)
  const bytes = Buffer.concat(segmentsOf(files, folders, timeline, history, limit, durable))
  const whole = bytes.subarray(0, Math.max(0, Math.min(bytes.length, limit - FIRST_LSN)))
  if (whole.length < PAGE_SIZE) return readOn(whole, timeline, history, undefined, 0).wal
  const database = `${whole.readBigUInt64LE(SYSTEM_IDENTIFIER_AT)} ${timeline}`
  const before = known.get(database)
  const count = before !== undefined && isSameHistory(before.wal.history, history) ? held(whole, before) : 0
  const read = readOn(whole, timeline, history, before, count)
  // The beginning of what is known, as up to some limit, is no news.
  if (count === 0 || read.places.length > count) known.set(database, read)
  return read.wal
}

/** The same where the last record before `limit` cannot be read: to PostgreSQL that is the end of WAL. It promotes, and others have to see that something is missing. */
export function recoverWithoutLast(
  files: SimFiles,
  folders: readonly string[],
  timeline: Timeline,
  limit: Lsn,
): RecoveredWal {
  const whole = recoverWal(files, folders, timeline, limit)
  return whole.lastRecord === 0 ? whole : recoverWal(files, folders, timeline, whole.lastRecord)
}

/** With how many of the records that were read before these bytes begin. */
function held(whole: Uint8Array, { bytes, places }: ReadWal): number {
  const holds = (count: number): boolean => {
    const length = (places[count - 1]?.endLsn ?? FIRST_LSN) - FIRST_LSN
    return (
      whole.length >= length && Buffer.compare(whole.subarray(0, length), bytes.subarray(0, length)) === 0
    )
  }
  if (holds(places.length)) return places.length
  let count = 0
  for (let above = places.length; count + 1 < above;) {
    const middle = (count + above) >> 1
    if (holds(middle)) count = middle
    else above = middle
  }
  return count
}

/** The good WAL in `whole`, which begins with the first `count` records of `before`. */
function readOn(
  whole: Buffer,
  timeline: Timeline,
  history: readonly HistoryEntry[],
  before: ReadWal | undefined,
  count: number,
): ReadWal {
  const last = before?.places[count - 1]
  const start = last?.endLsn ?? FIRST_LSN
  const { records, validEnd } = readWalRecords(whole.subarray(start - FIRST_LSN), {
    start,
    atRecord: last !== undefined,
    segmentSize: SIM_SEGMENT_BYTES,
    spans: spansOf(history, timeline),
    ...(last === undefined
      ? {}
      : { prev: last.lsn, systemIdentifier: whole.readBigUInt64LE(SYSTEM_IDENTIFIER_AT) }),
  })
  const good = records.filter((record) => record.crcOk && record.endLsn <= validEnd)
  const added = good.map((record) => decodeKv(mainData(record) ?? new Uint8Array(0)))
  const places = [
    ...(before?.places.slice(0, count) ?? []),
    ...good.map(({ lsn, endLsn }) => ({ lsn, endLsn })),
  ]
  return {
    bytes: whole,
    wal: {
      timeline,
      history,
      end: validEnd,
      lastRecord: places.at(-1)?.lsn ?? 0,
      records: [...(before?.wal.records.slice(0, count) ?? []), ...added],
    },
    places,
  }
}

/** The bytes [from, to) of a timeline; undefined when they are not all there. */
export function walBytes(
  files: SimFiles,
  folders: readonly string[],
  timeline: Timeline,
  from: Lsn,
  to: Lsn,
  durable: boolean,
): Uint8Array | undefined {
  const history = readHistory(files, folders, timeline)
  const start = segmentStart(from, SIM_SEGMENT_BYTES)
  const segments = segmentsOf(files, folders, timeline, history, to, durable, start)
  if (segments.length * SIM_SEGMENT_BYTES < to - start) return undefined
  const bytes = segments.length === 1 ? (segments[0] as Uint8Array) : Buffer.concat(segments)
  return bytes.subarray(from - start, to - start)
}

function segmentsOf(
  files: SimFiles,
  folders: readonly string[],
  timeline: Timeline,
  history: readonly HistoryEntry[],
  limit: Lsn,
  durable: boolean,
  from: Lsn = FIRST_LSN,
): Uint8Array[] {
  const spans = spansOf(history, timeline)
  const segments: Uint8Array[] = []
  for (let start = from; start < limit; start += SIM_SEGMENT_BYTES) {
    const segment = bestSegment(files, folders, spans, start, durable)
    if (segment === undefined) break
    segments.push(segment)
  }
  return segments
}

/** The file of the newest timeline that has this segment; in which folder it is fullest. */
function bestSegment(
  files: SimFiles,
  folders: readonly string[],
  spans: readonly TimelineSpan[],
  start: Lsn,
  durable: boolean,
): Uint8Array | undefined {
  const newest = fileTimeline(spans, start, SIM_SEGMENT_BYTES)
  for (let i = spans.length - 1; i >= 0; i--) {
    const { timeline } = spans[i] as TimelineSpan
    if (timeline > newest) continue
    let best: Uint8Array | undefined
    let bestFilled = 0
    for (const folder of folders) {
      const file = files.file(segmentPath(folder, timeline, start))
      const bytes = durable ? file?.toldDurable : file?.content
      if (file === undefined || bytes?.length !== SIM_SEGMENT_BYTES || bytes[0] === 0) continue
      if (file.filled <= bestFilled) continue
      best = bytes
      bestFilled = file.filled
    }
    if (best !== undefined) return best
  }
  return undefined
}

/** Writes WAL of a primary into the files of `pg_wal` (page cache only). Returns the paths that were touched. */
export function writeWal(
  files: SimFiles,
  folder: string,
  timeline: Timeline,
  start: Lsn,
  bytes: Uint8Array,
): string[] {
  const touched: string[] = []
  for (let at = 0; at < bytes.length;) {
    const lsn = start + at
    const segment = segmentStart(lsn, SIM_SEGMENT_BYTES)
    const path = segmentPath(folder, timeline, lsn)
    const file = files.make(path)
    if (file.content.length < SIM_SEGMENT_BYTES) file.resize(SIM_SEGMENT_BYTES)
    const length = Math.min(bytes.length - at, segment + SIM_SEGMENT_BYTES - lsn)
    file.write(lsn - segment, bytes.subarray(at, at + length))
    touched.push(path)
    at += length
  }
  return touched
}

/** What lies after the end of the WAL goes: the torn tail of a crash must not look like WAL later. */
export function clearAfter(files: SimFiles, folder: string, timeline: Timeline, end: Lsn): string[] {
  const touched: string[] = []
  const segment = segmentStart(end, SIM_SEGMENT_BYTES)
  for (const { name } of files.list(folder)) {
    const parsed = parseWalFileName(name, SIM_SEGMENT_BYTES)
    if (parsed?.timeline !== timeline || parsed.start < segment) continue
    const path = `${folder}/${name}`
    if (parsed.start > segment) files.remove(path)
    else {
      files.file(path)?.clear(end - segment)
      touched.push(path)
    }
  }
  return touched
}

/** Writes the history of a timeline that begins where recovery ended (page cache only). Returns what makes it durable. */
export function writeHistory(
  files: SimFiles,
  folder: string,
  recovered: RecoveredWal,
  timeline: Timeline,
): () => void {
  const file = files.make(`${folder}/${historyFileName(timeline)}`)
  const entries = [...recovered.history, { timeline: recovered.timeline, end: recovered.end }]
  file.resize(0)
  file.write(0, new TextEncoder().encode(formatHistory(entries)))
  file.isNamed = true
  return file.snapshot()
}

/** PostgreSQL's system identifier: the first eight bytes of pg_control. */
export function readIdentifier(content: Uint8Array): bigint {
  if (content.length < 8) return 1n
  return new DataView(content.buffer, content.byteOffset).getBigUint64(0, true)
}
