/**
 * Looks into the folder of an instance, whether it runs or not: how far its WAL goes, whether PostgreSQL could start on it, how big it is. Changes
 * nothing. Who plans a recovery, or looks for the newest copy of a content after a double fault, asks for this.
 */
import { belongsInBackup } from '@mirabelle/engine'
import { divergedDir, pgdataDir, pgWalDir, realWalParts, receivedWalDir } from '@mirabelle/instance'
import type { Assignment, FolderFacts, Lsn } from '@mirabelle/messages'
import type { Disk, Ports } from '@mirabelle/runtime'
import { DEFAULT_SEGMENT_SIZE, dumpWal, parseWalFileName } from '@mirabelle/wal'
import { readCopying, readPromises } from './read-promises.ts'

export interface InspectedInstance {
  readonly assignment: Assignment
  readonly pid: number | null
}

/**
 * Reads the newest run of WAL; with `countFrom` all of it from there on. What a primary wrote lies in PostgreSQL's own folder: where that is gone nobody knows how far its WAL went, though
 * what it had received before, as mirror, is still there. Rejects with what the disk says.
 */
export async function inspectFolder(
  ports: Ports,
  { assignment, pid }: InspectedInstance,
  countFrom: Lsn | null,
): Promise<FolderFacts> {
  const { disk } = ports
  const { dbid, content, datadir, listen } = assignment
  const pgdata = pgdataDir(datadir)
  const folders = [pgWalDir(datadir), receivedWalDir(datadir)]
  const { dataRole } = await readPromises(disk, datadir)
  const hasAll = dataRole !== 'p' || (await oldestSegment(disk, pgWalDir(datadir))) < Number.POSITIVE_INFINITY
  return {
    dbid,
    content,
    datadir,
    endpoint: listen,
    pid,
    hasBase: await disk.exists(`${pgdata}/global/pg_control`),
    copying: await readCopying(disk, datadir),
    dataRole,
    wal: hasAll ? await walOf(ports, folders) : null,
    baseBytes: await bytesBelow(disk, pgdata, belongsInBackup),
    divergedBytes: await bytesBelow(disk, divergedDir(datadir)),
    commits: countFrom === null || !hasAll ? null : await countCommits(disk, folders, countFrom),
  }
}

async function walOf(ports: Ports, folders: readonly string[]): Promise<FolderFacts['wal']> {
  const end = await realWalParts.findEnd(ports, folders)
  if (end === undefined) return null
  const starts = await Promise.all(folders.map((folder) => oldestSegment(ports.disk, folder)))
  return {
    timeline: end.timeline,
    history: end.history,
    startLsn: Math.min(...starts),
    endLsn: end.receivedEnd,
    damaged: end.damaged === true,
  }
}

/** By the names alone: to read all of the WAL would take as long as it is big. Recycled segments have names of the future. */
async function oldestSegment(disk: Disk, folder: string): Promise<Lsn> {
  if (!(await disk.exists(folder))) return Number.POSITIVE_INFINITY
  const names = (await disk.list(folder)).map(({ name }) => parseWalFileName(name, DEFAULT_SEGMENT_SIZE))
  return Math.min(...names.flatMap((segment) => (segment === undefined ? [] : [segment.start])))
}

/**
 * Transactions that take effect by a record at or after `from`. A folder of both, `pg_wal` and received WAL, holds some of them twice. One that is prepared at the end (there is one at a time, I6)
 * may have been committed everywhere else, and its client told so: it counts.
 */
async function countCommits(disk: Disk, folders: readonly string[], from: Lsn): Promise<number> {
  const seen = new Set<Lsn>()
  let last = { lsn: -1, isPrepared: false }
  for (const dir of folders) {
    if (!(await disk.exists(dir))) continue
    for await (const { lsn, operation } of dumpWal({ disk, dir, rmgr: 'Transaction' })) {
      if (lsn < from) continue
      if (/^COMMIT/.test(operation)) seen.add(lsn)
      if (lsn > last.lsn && /PREPARE/.test(operation)) last = { lsn, isPrepared: operation === 'PREPARE' }
    }
  }
  return seen.size + (last.isPrepared ? 1 : 0)
}

/** Bytes of all files below a folder that count, by their paths in it; 0 when it is not there. */
async function bytesBelow(
  disk: Disk,
  folder: string,
  counts: (path: string) => boolean = () => true,
  below = '',
): Promise<number> {
  if (!(await disk.exists(`${folder}${below}`))) return 0
  let sum = 0
  for (const { name, isDirectory, size } of await disk.list(`${folder}${below}`)) {
    if (isDirectory) sum += await bytesBelow(disk, folder, counts, `${below}/${name}`)
    else if (counts(`${below}/${name}`.slice(1))) sum += size
  }
  return sum
}
