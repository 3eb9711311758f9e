/** The received WAL that a base needs, and what can go when it is there. */
import { formatLsn, MirabelleError, type Lsn, type Timeline } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { parseWalFileName, segmentStart, walFileName } from '@mirabelle/wal'

/** Received WAL: where it lies, and the size of its segments. */
export interface ReceivedFolder {
  readonly folder: string
  readonly segmentSize: number
}

/** Throws `wal.removed` unless the folder has every segment of [from, to). */
export async function requireWal(
  disk: Disk,
  { folder, segmentSize }: ReceivedFolder,
  range: { readonly timeline: Timeline; readonly from: Lsn; readonly to: Lsn },
): Promise<void> {
  const { timeline, from, to } = range
  const there = new Set((await disk.list(folder)).map((entry) => entry.name))
  for (let at = segmentStart(from, segmentSize); at < to; at += segmentSize) {
    const name = walFileName(timeline, at, segmentSize)
    if (there.has(name)) continue
    throw new MirabelleError(
      'wal.removed',
      `${folder} lacks ${name}; the base needs WAL from ${formatLsn(from)} to ${formatLsn(to)} of timeline ${timeline}`,
    )
  }
}

/**
 * Deletes the segments that end before the one that holds `lsn`, oldest first, so that what is left has no gap whenever this is interrupted. Resolves
 * with their number.
 */
export async function removeWalBefore(
  disk: Disk,
  { folder, segmentSize }: ReceivedFolder,
  lsn: Lsn,
): Promise<number> {
  const keep = segmentStart(lsn, segmentSize)
  const old = (await disk.list(folder)).flatMap(({ name }) => {
    const segment = parseWalFileName(name, segmentSize)
    return segment !== undefined && segment.start < keep ? [{ name, start: segment.start }] : []
  })
  old.sort((a, b) => a.start - b.start)
  for (const { name } of old) await disk.remove(`${folder}/${name}`)
  if (old.length > 0) await disk.syncDir(folder)
  return old.length
}
