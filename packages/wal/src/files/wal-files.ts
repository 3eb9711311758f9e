/**
 * Reads WAL out of segment files that may lie in several folders (`pg_wal`, then the folder of received WAL) and on several timelines.
 *
 * Made by an instance for its walsenders; holds nothing open between reads. A file counts only when its first page says that it belongs
 * there: PostgreSQL keeps recycled segments under names of the future.
 */
import { formatLsn, isMirabelleError, MirabelleError } from '@mirabelle/messages'
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import type { Disk, FileHandle } from '@mirabelle/runtime'
import type { WalReader } from '../api.ts'
import { DEFAULT_SEGMENT_SIZE, SHORT_HEADER, segmentStart } from '../format/constants.ts'
import { historyFileName, parseWalFileName, walFileName } from '../format/file-names.ts'
import { timelineSpans } from '../format/history.ts'
import type { TimelineSpan } from '../format/history.ts'
import { readPageHeader } from '../format/page-header.ts'

/** Most bytes that one read returns. */
export const MAX_WAL_CHUNK = 1024 * 1024

export interface WalFilesOptions {
  readonly disk: Disk
  /** Searched in this order. A folder that does not exist is an empty one. */
  readonly folders: readonly string[]
  /** 1 MiB by default. */
  readonly segmentSize?: number
}

/** A reader of WAL files. Its errors are `wal.removed`, or what the disk says. */
export function createWalFiles(options: WalFilesOptions): WalReader {
  const { disk, folders } = options
  const segmentSize = options.segmentSize ?? DEFAULT_SEGMENT_SIZE

  async function openSegment(
    timeline: Timeline,
    start: Lsn,
  ): Promise<{ file: FileHandle; path: string } | undefined> {
    for (const folder of folders) {
      const path = `${folder}/${walFileName(timeline, start, segmentSize)}`
      const file = await openIfThere(disk, path)
      if (file === undefined) continue
      const head = await file.read(0, SHORT_HEADER)
      if (head.length === SHORT_HEADER && readPageHeader(head).address === start) return { file, path }
      await file.close()
    }
    return undefined
  }

  return {
    async read({ timeline, history, from, to }) {
      const start = segmentStart(from, segmentSize)
      for (const span of candidates(timelineSpans(history, timeline), from, segmentSize)) {
        const found = await openSegment(span.timeline, start)
        if (found === undefined) continue
        try {
          const end = Math.min(to, from + MAX_WAL_CHUNK, start + segmentSize, span.end)
          const bytes = await found.file.read(from - start, end - from)
          if (bytes.length === end - from) return bytes
        } finally {
          await found.file.close()
        }
      }
      throw new MirabelleError(
        'wal.removed',
        `WAL at ${formatLsn(from)} of timeline ${timeline} is not in ${folders.join(' or ')}`,
        { detail: { lsn: from, timeline } },
      )
    },

    async oldestLsn(timeline, history, end) {
      const names = new Set<string>()
      for (const folder of folders) {
        for (const name of await namesIn(disk, folder)) {
          if (parseWalFileName(name, segmentSize) !== undefined) names.add(name)
        }
      }
      const spans = timelineSpans(history, timeline)
      let oldest = end
      for (let start = segmentStart(end, segmentSize); start >= 0; start -= segmentSize) {
        const last = Math.min(start + segmentSize, end) - 1
        if (last < start) continue
        const there = candidates(spans, start, segmentSize).some((span) =>
          names.has(walFileName(span.timeline, start, segmentSize)),
        )
        if (!there) break
        oldest = start
      }
      return oldest
    },

    async readHistory(timeline) {
      for (const folder of folders) {
        try {
          return await disk.readFile(`${folder}/${historyFileName(timeline)}`)
        } catch (error) {
          if (!isMissing(error)) throw error
        }
      }
      return undefined
    },
  }
}

/** Timelines in whose file the byte at `lsn` may be, newest first: begun in that segment or before, and not ended before the byte. */
function candidates(spans: readonly TimelineSpan[], lsn: Lsn, segmentSize: number): TimelineSpan[] {
  const start = segmentStart(lsn, segmentSize)
  return spans.filter((span) => segmentStart(span.begin, segmentSize) <= start && lsn < span.end).reverse()
}

/** True for Node's "no such file or folder". */
export function isMissing(error: unknown): boolean {
  return !isMirabelleError(error) && (error as { code?: unknown } | null)?.code === 'ENOENT'
}

/** Opens a file for reading; undefined when it is not there. */
export async function openIfThere(disk: Disk, path: string): Promise<FileHandle | undefined> {
  try {
    return await disk.open(path, 'r')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Names of the files in a folder; none when the folder is not there. */
export async function namesIn(disk: Disk, folder: string): Promise<string[]> {
  try {
    return (await disk.list(folder)).filter((entry) => !entry.isDirectory).map((entry) => entry.name)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** The history of a timeline as its file in one of the folders tells it; undefined when no file is there. */
export async function readHistoryFile(
  reader: Pick<WalReader, 'readHistory'>,
  timeline: Timeline,
  parse: (text: string, timeline: Timeline) => HistoryEntry[],
): Promise<HistoryEntry[] | undefined> {
  const bytes = await reader.readHistory(timeline)
  return bytes === undefined ? undefined : parse(new TextDecoder().decode(bytes), timeline)
}
