/**
 * The asking side of the block-wise copy (replication §4): makes `D/pgdata` and `D/wal` a base that a mirror can be started on.
 *
 * Called by the instance actor in state `copying`; ends with the base complete and durable, or rejects. Promises: until the control file
 * is written, last of all, PostgreSQL cannot start on the folder; diverged WAL is kept aside (I5); running it again completes what
 * was begun (I12); at most 8 requests of at most 1 MiB are under way at a time.
 */
import { formatLsn, MirabelleError, type HistoryEntry } from '@mirabelle/messages'
import { parseHistory } from '@mirabelle/wal'
import { faults, type BulkFiles } from '@mirabelle/runtime'
import { pgdataDir, receivedWalDir } from '../state/layout.ts'
import type { CopyFromPeer, CopyMode, CopyRequest, CopyResult } from './copy-from-peer.ts'
import { begunCopy, markBegun, markComplete } from './copy-mark.ts'
import { CopySource } from './copy-source.ts'
import { copyWal } from './copy-wal.ts'
import { fillFolder, sealFolder, treeOf } from './fill-folder.ts'
import { putWalAside, walEnds } from './put-wal-aside.ts'
import { CONTROL_FILE } from './source-files.ts'
import { WorkLimit } from './work-limit.ts'

/** Requests under way at a time. */
const REQUESTS = 8

/** The real block-wise copy. */
export const copyFromPeer: CopyFromPeer = async (mode, request) => {
  const source = await CopySource.open(request)
  // Made while the primary begins its backup.
  const bulk = request.ports.disk.bulk?.()
  try {
    return await copy(mode, request, source, bulk)
  } catch (error) {
    request.signal.throwIfAborted()
    throw error
  } finally {
    source.close()
    bulk?.close()
  }
}

async function copy(
  mode: CopyMode,
  request: CopyRequest,
  source: CopySource,
  bulk: BulkFiles | undefined,
): Promise<CopyResult> {
  const { ports, datadir, progress } = request
  const { disk, log, clock } = ports
  const startedAt = clock.monotonic()
  progress({ bytesDone: 0, bytesTotal: 0, step: 'waiting for the backup to begin' })
  // Read while the primary begins.
  const ends = walEnds(disk, datadir)
  ends.catch(() => undefined) // told to whoever waits for them
  const begun = await source.begin()
  if (faults !== undefined) await faults.at('copy.backup')
  const { timeline, startLsn } = begun
  const history = await historyOf(source, timeline)
  const folder = pgdataDir(datadir)
  treeOf(begun)

  const diverged = await putWalAside(disk, datadir, { timeline, history, endLsn: startLsn }, ends)
  if (diverged !== undefined)
    log.warn({ folder: diverged }, 'WAL that the primary does not have was put aside')
  if (faults !== undefined) await faults.at('copy.wal-aside')
  const resumed = (await begunCopy(disk, datadir)) === mode
  await markBegun(disk, datadir, mode)
  await makeUnstartable(request, mode === 'full' && !resumed)
  if (faults !== undefined) await faults.at('copy.unstartable')
  const filled = await fillFolder({ disk, bulk, source, begun, folder, requests: REQUESTS, progress })
  if (faults !== undefined) await faults.at('copy.filled')
  const { bytesTotal } = filled

  progress({ bytesDone: bytesTotal, bytesTotal, step: 'ending the backup' })
  const ended = await source.end()
  if (faults !== undefined) await faults.at('copy.backup-ended')
  if (ended.timeline !== timeline)
    throw new MirabelleError('not.ready', `the primary changed to timeline ${ended.timeline} during the copy`)
  progress({ bytesDone: bytesTotal, bytesTotal, step: 'WAL of the backup' })
  const walEnd = await copyWal({
    disk,
    source,
    limit: new WorkLimit(REQUESTS),
    folder: receivedWalDir(datadir),
    timeline,
    startLsn,
    endLsn: ended.endLsn,
    history: ended.history,
  })
  if (faults !== undefined) await faults.at('copy.wal')
  await sealFolder(disk, folder, filled, ended.backupLabel)
  await markComplete(disk, datadir)
  log.info(
    {
      mode,
      resumed,
      from: request.upstream.dbid,
      timeline,
      lsn: formatLsn(walEnd),
      bytesTotal,
      bytesFetched: source.bytesRead,
      tookMs: Math.round(clock.monotonic() - startedAt),
    },
    'the base is copied',
  )
  return { timeline, startLsn: walEnd, history, bytesTotal, bytesFetched: source.bytesRead }
}

async function historyOf(source: CopySource, timeline: number): Promise<readonly HistoryEntry[]> {
  const text = timeline === 1 ? undefined : await source.history(timeline)
  return text === undefined ? [] : parseHistory(text, timeline)
}

/** From here on the folder is no copy of anything, and PostgreSQL would not start on it. */
async function makeUnstartable({ ports, datadir }: CopyRequest, empty: boolean): Promise<void> {
  const { disk } = ports
  const pgdata = pgdataDir(datadir)
  if (empty) {
    await disk.remove(pgdata)
    await disk.syncDir(datadir)
    return
  }
  if (!(await disk.exists(`${pgdata}/${CONTROL_FILE}`))) return
  await disk.remove(`${pgdata}/${CONTROL_FILE}`)
  await disk.syncDir(`${pgdata}/global`)
}
