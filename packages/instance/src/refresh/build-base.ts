/**
 * Makes a new base of a mirror beside the one that it replays on (engine.md "A mirror"): its own files first, then, inside an online backup of
 * the primary, the blocks that differ. So the backup lasts only as long as comparing does, and little WAL is to be replayed on the new base.
 *
 * Promise: `D/base-next` has a control file only when everything in it is durable. Nothing else of the instance is changed.
 */
import { MirabelleError, type Lsn, type Timeline } from '@mirabelle/messages'
import { historyFileName } from '@mirabelle/wal'
import { faults } from '@mirabelle/runtime'
import type { CopyRequest } from '../copy/copy-from-peer.ts'
import { CopySource } from '../copy/copy-source.ts'
import { fillFolder, sealFolder } from '../copy/fill-folder.ts'
import { pgdataDir, receivedWalDir } from '../state/layout.ts'
import { nextBaseDir, removeOtherBases } from './base-folders.ts'
import { cloneBase } from './clone-base.ts'

/** Requests under way at a time: few, because nobody waits for it and the primary has commits to serve. */
const REQUESTS = 4

/** A base in `D/base-next`. */
export interface BuiltBase {
  readonly timeline: Timeline
  /** WAL is needed from here on. */
  readonly startLsn: Lsn
  /** The base is consistent once WAL up to here is replayed. */
  readonly endLsn: Lsn
  readonly bytesTotal: number
  /** How much of it the primary had to send. */
  readonly bytesFetched: number
}

/** Makes a base in `D/base-next`. Rejects as `buildBase` does. */
export type BuildBase = (request: CopyRequest) => Promise<BuiltBase>

/** Rejects as the copy does, or when the signal aborts; what is left then is for `removeOtherBases`. */
export async function buildBase(request: CopyRequest): Promise<BuiltBase> {
  const { ports, datadir, progress, signal } = request
  const { disk } = ports
  const folder = nextBaseDir(datadir)
  progress({ bytesDone: 0, bytesTotal: 0, step: 'its own files' })
  await removeOtherBases(disk, datadir)
  await cloneBase(disk, pgdataDir(datadir), folder, signal)
  if (faults !== undefined) await faults.at('refresh.cloned')
  const source = await CopySource.open(request)
  const bulk = disk.bulk?.()
  try {
    progress({ bytesDone: 0, bytesTotal: 0, step: 'waiting for the backup to begin' })
    const begun = await source.begin()
    const filled = await fillFolder({ disk, bulk, source, begun, folder, requests: REQUESTS, progress })
    const ended = await source.end()
    if (ended.timeline !== begun.timeline)
      throw new MirabelleError('not.ready', `the primary went on to timeline ${ended.timeline} meanwhile`)
    await keepHistory(request, ended.timeline, ended.history)
    signal.throwIfAborted()
    await sealFolder(disk, folder, filled, ended.backupLabel)
    const { timeline, startLsn } = begun
    const { bytesTotal } = filled
    return { timeline, startLsn, endLsn: ended.endLsn, bytesTotal, bytesFetched: source.bytesRead }
  } finally {
    source.close()
    bulk?.close()
  }
}

/** The new base has no WAL folder of its own to find it in. */
async function keepHistory(
  { ports, datadir }: CopyRequest,
  timeline: Timeline,
  history: Uint8Array | null,
): Promise<void> {
  const path = `${receivedWalDir(datadir)}/${historyFileName(timeline)}`
  if (history === null || (await ports.disk.exists(path))) return
  await ports.disk.writeFileDurable(path, history)
}
