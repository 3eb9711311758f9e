/**
 * WAL from the beginning of the backup to its end, fetched into the folder of received WAL, so that a complete copy stands by itself: a start
 * after a crash finds it, even when the walreceiver has not had a chance to fetch anything.
 */
import { formatLsn, MirabelleError, type Lsn, type Timeline } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { DEFAULT_SEGMENT_SIZE, findWalEnd, historyFileName, segmentStart, walFileName } from '@mirabelle/wal'
import type { CopySource } from './copy-source.ts'
import type { WorkLimit } from './work-limit.ts'

export interface CopyWalOptions {
  readonly disk: Disk
  readonly source: CopySource
  readonly limit: WorkLimit
  /** Folder of received WAL, empty. */
  readonly folder: string
  readonly timeline: Timeline
  readonly startLsn: Lsn
  readonly endLsn: Lsn
  /** The timeline's history file, if it has one. */
  readonly history: Uint8Array | null
}

/** Resolves with the end of the last record, checked (I8) and durable: at or behind `endLsn`. Rejects with `wal.corrupt` otherwise. */
export async function copyWal(options: CopyWalOptions): Promise<Lsn> {
  const { disk, limit, folder, timeline, startLsn, endLsn, history } = options
  await disk.makeDir(folder)
  if (history !== null) await disk.writeFileDurable(`${folder}/${historyFileName(timeline)}`, history)
  const starts: Lsn[] = []
  for (let at = segmentStart(startLsn, DEFAULT_SEGMENT_SIZE); at < endLsn; at += DEFAULT_SEGMENT_SIZE)
    starts.push(at)
  await limit.all(starts.map((start) => () => copySegment(options, start)))
  await disk.syncDir(folder)
  const found = await findWalEnd(disk, folder, { timeline, from: startLsn })
  if (found === undefined || found.endLsn < endLsn) {
    const reached = formatLsn(found?.endLsn ?? 0)
    throw new MirabelleError(
      'wal.corrupt',
      `WAL of the backup is good up to ${reached} only, ${formatLsn(startLsn)} to ${formatLsn(endLsn)} is needed`,
      { detail: { problem: found?.problem?.kind ?? null } },
    )
  }
  return found.endLsn
}

async function copySegment(options: CopyWalOptions, start: Lsn): Promise<void> {
  const { disk, source, folder, timeline, endLsn } = options
  const name = walFileName(timeline, start, DEFAULT_SEGMENT_SIZE)
  // What lies behind the end may be old, or not durable there.
  const wanted = Math.min(DEFAULT_SEGMENT_SIZE, endLsn - start)
  const bytes = await source.read(`pg_wal/${name}`, 0, wanted)
  if (bytes.length < wanted)
    throw new MirabelleError(
      'timeout',
      `WAL segment ${name} is not there any more: the copy has to begin again`,
    )
  const file = await disk.open(`${folder}/${name}`, 'w+')
  try {
    await file.write(0, bytes)
    if (wanted < DEFAULT_SEGMENT_SIZE) await file.truncate(DEFAULT_SEGMENT_SIZE)
    await file.sync()
  } finally {
    await file.close()
  }
}
