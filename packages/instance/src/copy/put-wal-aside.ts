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

/** Where WAL ends in the folder of PostgreSQL and in that of received WAL. */
export type WalEnds = readonly [pgWal: WalEnd | undefined, received: WalEnd | undefined]

export function walEnds(disk: Disk, datadir: string): Promise<WalEnds> {
  return Promise.all([findWalEnd(disk, pgWalDir(datadir)), findWalEnd(disk, receivedWalDir(datadir))])
}

/** Empties both WAL folders of the instance. Resolves with the folder where diverged WAL was put, if there was some. Can be run again. */
export async function putWalAside(
  disk: Disk,
  datadir: string,
  primary: PrimaryStand,
  ends: Promise<WalEnds> = walEnds(disk, datadir),
): Promise<string | undefined> {
  const [pgWal, received] = await ends
  const folders = [
    { name: 'pg_wal', path: pgWalDir(datadir), end: pgWal },
    { name: 'wal', path: receivedWalDir(datadir), end: received },
  ]
  const kept = `${divergedDir(datadir)}/${nameOf(folders.map(({ end }) => end))}`
  let moved = false
  for (const { name, path, end } of folders) {
    if (!(await disk.exists(path))) continue
    const files = (await disk.list(path)).filter((entry) => !entry.isDirectory).map((entry) => entry.name)
    const diverged: string[] = []
    for (const file of files) if (await isDiverged(disk, path, file, end, primary)) diverged.push(file)
    if (diverged.length > 0) {
      // Without its history a timeline cannot be read.
      const histories = files.filter((one) => parseHistoryFileName(one) !== undefined)
      await move(disk, path, `${kept}/${name}`, [...diverged, ...histories])
      for (const folder of [kept, divergedDir(datadir), datadir]) await disk.syncDir(folder)
      moved = true
    }
    for (const file of files) await disk.remove(`${path}/${file}`)
    await disk.syncDir(path)
  }
  return moved ? kept : undefined
}

/** Named after the newest timeline that has WAL here and the end of it. */
function nameOf(ends: readonly (WalEnd | undefined)[]): string {
  const there = ends.filter((end) => end !== undefined)
  const timeline = Math.max(0, ...there.map((end) => end.timeline))
  const lsn = Math.max(0, ...there.filter((end) => end.timeline === timeline).map((end) => end.endLsn))
  return `${timeline}-${formatLsn(lsn).replace('/', '_')}`
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
