/**
 * Diverged WAL of an ex-primary is kept when its base is copied over (I5): moved to `D/diverged/<timeline>-<lsn>/`, where it stays until an
 * administrator deletes it. WAL that the primary has as well is deleted.
 */
import { formatLsn, type HistoryEntry, type Lsn, type Timeline } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import {
  DEFAULT_SEGMENT_SIZE,
  findWalEnd,
  forkPoint,
  parseHistoryFileName,
  parseWalFileName,
  readPageHeader,
  type WalEnd,
} from '@mirabelle/wal'
import { divergedDir, pgWalDir, receivedWalDir } from '../state/layout.ts'

/** Bytes of the first page that say where a segment belongs. */
const HEADER_BYTES = 40

/** The primary whose base is going to be copied. */
export interface PrimaryStand {
  readonly timeline: Timeline
  /** Ancestors of its timeline, oldest first. */
  readonly history: readonly HistoryEntry[]
  /** Its WAL goes at least up to here. */
  readonly endLsn: Lsn
}

/** Empties both WAL folders of the instance. Resolves with the folder where diverged WAL was put, if there was some. Can be run again. */
export async function putWalAside(
  disk: Disk,
  datadir: string,
  primary: PrimaryStand,
): Promise<string | undefined> {
  let kept: string | undefined
  const folders = { pg_wal: pgWalDir(datadir), wal: receivedWalDir(datadir) }
  for (const [name, folder] of Object.entries(folders)) {
    if (!(await disk.exists(folder))) continue
    const end = await findWalEnd(disk, folder)
    const names = (await disk.list(folder)).filter((entry) => !entry.isDirectory).map((entry) => entry.name)
    const diverged: string[] = []
    for (const file of names) if (await isDiverged(disk, folder, file, end, primary)) diverged.push(file)
    if (diverged.length > 0 && end !== undefined) {
      kept = `${divergedDir(datadir)}/${end.timeline}-${formatLsn(end.endLsn).replace('/', '_')}`
      // Without its history a timeline cannot be read.
      const histories = names.filter((one) => parseHistoryFileName(one) !== undefined)
      await move(disk, folder, `${kept}/${name}`, [...diverged, ...histories])
    }
    for (const file of names) await disk.remove(`${folder}/${file}`)
    await disk.syncDir(folder)
  }
  if (kept !== undefined) {
    await disk.syncDir(kept)
    await disk.syncDir(divergedDir(datadir))
    await disk.syncDir(datadir)
  }
  return kept
}

/** True for a segment that holds WAL which the primary does not have. */
async function isDiverged(
  disk: Disk,
  folder: string,
  name: string,
  end: WalEnd | undefined,
  primary: PrimaryStand,
): Promise<boolean> {
  const segmentSize = end?.segmentSize ?? DEFAULT_SEGMENT_SIZE
  const segment = parseWalFileName(name, segmentSize)
  if (segment === undefined || end === undefined) return false
  const { timeline, start } = segment
  // Where this timeline ends here: it was left for another one, or WAL ends.
  const ownEnd =
    timeline === end.timeline ? end.endLsn : (forkPoint(end.history, timeline) ?? Number.POSITIVE_INFINITY)
  const common = timeline === primary.timeline ? primary.endLsn : (forkPoint(primary.history, timeline) ?? 0)
  if (start >= ownEnd || Math.min(start + segmentSize, ownEnd) <= common) return false
  return holdsOwnWal(disk, `${folder}/${name}`, start)
}

/** PostgreSQL keeps recycled segments under names of the future: old pages, no WAL of that place. */
async function holdsOwnWal(disk: Disk, path: string, start: Lsn): Promise<boolean> {
  const file = await disk.open(path, 'r')
  try {
    const head = await file.read(0, HEADER_BYTES)
    return head.length === HEADER_BYTES && readPageHeader(head).address === start
  } finally {
    await file.close()
  }
}

async function move(disk: Disk, from: string, to: string, names: readonly string[]): Promise<void> {
  await disk.makeDir(to)
  for (const name of names) await disk.rename(`${from}/${name}`, `${to}/${name}`)
  await disk.syncDir(to)
}
