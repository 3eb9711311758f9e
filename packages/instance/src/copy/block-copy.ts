/**
 * The asking side of the block-wise copy (replication §4): makes `D/pgdata` and `D/wal` a base that a mirror can be started on.
 *
 * Called by the instance actor in state `copying`; ends with the base complete and durable, or rejects. Promises: until the control file
 * is written, last of all, PostgreSQL cannot start on the folder; diverged WAL is kept aside (I5); running it again completes what
 * was begun (I12); at most 8 requests of at most 1 MiB are under way at a time.
 */
import { formatLsn, MirabelleError, type HistoryEntry, type MessageOf } from '@mirabelle/messages'
import { parseHistory } from '@mirabelle/wal'
import { pgdataDir, receivedWalDir } from '../state/layout.ts'
import { copyFile } from './copy-file.ts'
import type { CopyFromPeer, CopyMode, CopyRequest, CopyResult } from './copy-from-peer.ts'
import { begunCopy, markBegun, markComplete } from './copy-mark.ts'
import { CopySource } from './copy-source.ts'
import { copyWal } from './copy-wal.ts'
import { shapeTree, syncTree, wantedTree, type WantedTree } from './local-tree.ts'
import { putWalAside } from './put-wal-aside.ts'
import { CONTROL_FILE } from './source-files.ts'
import { WorkLimit } from './work-limit.ts'

/** Requests under way at a time, and files open at a time. */
const REQUESTS = 8
const FILES = 16

/** The real block-wise copy. */
export const copyFromPeer: CopyFromPeer = async (mode, request) => {
  const source = await CopySource.open(request)
  try {
    return await copy(mode, request, source)
  } catch (error) {
    request.signal.throwIfAborted()
    throw error
  } finally {
    source.close()
  }
}

async function copy(mode: CopyMode, request: CopyRequest, source: CopySource): Promise<CopyResult> {
  const { ports, datadir, progress } = request
  const { disk, log, clock } = ports
  const startedAt = clock.monotonic()
  progress({ bytesDone: 0, bytesTotal: 0, step: 'waiting for the backup to begin' })
  const begun = await source.begin()
  const { timeline, startLsn } = begun
  const history = await historyOf(source, timeline)
  const pgdata = pgdataDir(datadir)
  const tree = wantedTree(begun.files.map(([path]) => path))
  if (!tree.files.has(CONTROL_FILE))
    throw new MirabelleError(
      'datadir.broken',
      `${CONTROL_FILE} is not among the files of dbid ${request.upstream.dbid}`,
    )

  const diverged = await putWalAside(disk, datadir, { timeline, history, endLsn: startLsn })
  if (diverged !== undefined)
    log.warn({ folder: diverged }, 'WAL that the primary does not have was put aside')
  const resumed = (await begunCopy(disk, datadir)) === mode
  await markBegun(disk, datadir, mode)
  await makeUnstartable(request, mode === 'full' && !resumed)
  await shapeTree(disk, pgdata, { ...tree, files: without(tree.files, CONTROL_FILE) })
  const bytesTotal = await copyFiles(request, source, begun)

  const control = await source.read(CONTROL_FILE, 0, 64 * 1024)
  progress({ bytesDone: bytesTotal, bytesTotal, step: 'ending the backup' })
  const ended = await source.end()
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
  await finish(request, tree, ended.backupLabel, control)
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

/** All files but the control file. Resolves with their bytes. */
async function copyFiles(
  request: CopyRequest,
  source: CopySource,
  begun: MessageOf<'copy.begun'>,
): Promise<number> {
  const { ports, datadir, progress } = request
  const files = begun.files.filter(([path]) => !path.endsWith('/') && path !== CONTROL_FILE)
  const bytesTotal = files.reduce((sum, [, size]) => sum + size, 0)
  const limit = new WorkLimit(REQUESTS)
  let bytesDone = 0
  const copyOne = ([path, size]: (typeof files)[number]) =>
    copyFile(
      {
        disk: ports.disk,
        source,
        limit,
        done: (bytes) => {
          bytesDone += bytes
          progress({ bytesDone, bytesTotal, step: path })
        },
      },
      { path, size, target: `${pgdataDir(datadir)}/${path}` },
    )
  await new WorkLimit(FILES).all(files.map((file) => () => copyOne(file)))
  return bytesTotal
}

/** The label, the folders, and last of all the control file. */
async function finish(
  { ports, datadir }: CopyRequest,
  tree: WantedTree,
  label: string,
  control: Uint8Array,
): Promise<void> {
  const { disk } = ports
  const pgdata = pgdataDir(datadir)
  await disk.writeFileDurable(`${pgdata}/backup_label`, label)
  await syncTree(disk, pgdata, tree)
  await disk.syncDir(datadir)
  await disk.writeFileDurable(`${pgdata}/${CONTROL_FILE}`, control)
  await markComplete(disk, datadir)
}

function without(files: ReadonlySet<string>, path: string): ReadonlySet<string> {
  const rest = new Set(files)
  rest.delete(path)
  return rest
}
