/** What is looked at before PostgreSQL is started on a data directory, so that the refusal is clear and early. */
import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { formatLsn, type Timeline } from '@mirabelle/messages'
import { forkPoint, historyFileName, parseHistory } from '@mirabelle/wal'
import type { BaseStart } from '../control-file.ts'
import { EngineRefused } from '../errors.ts'
import { parseSegmentName, type InstancePaths } from '../layout.ts'

/** The folder holds a data directory with WAL segments of the expected size. */
export async function checkDataDirectory(paths: InstancePaths, segmentBytes: number): Promise<void> {
  if (!existsSync(join(paths.pgdata, 'PG_VERSION'))) {
    throw new EngineRefused(
      `${paths.pgdata} is no PostgreSQL data directory (PG_VERSION is missing): clone a template or copy a primary into it first`,
    )
  }
  for (const name of await readdir(paths.pgWal)) {
    if (parseSegmentName(name, segmentBytes) === undefined) continue
    const { size } = await stat(join(paths.pgWal, name))
    if (size === segmentBytes) return
    throw new EngineRefused(
      `${join(paths.pgWal, name)} has ${size} bytes, WAL segments of ${segmentBytes} bytes are expected`,
    )
  }
}

/** A mirror that was never promoted must not write: its timeline belongs to its primary. */
export function checkMayBePrimary(paths: InstancePaths): void {
  for (const name of ['recovery.signal', 'standby.signal']) {
    if (!existsSync(join(paths.pgdata, name))) continue
    throw new EngineRefused(
      `${paths.pgdata} is a mirror's data directory (${name} is there): start it as mirror, then promote it`,
    )
  }
}

/** The data directory, which begins as `base` says, lies on the history of `timeline`: its last checkpoint is not beyond a fork that it did not take. */
export async function checkMayFollow(
  paths: InstancePaths,
  { control, isCopy }: BaseStart,
  timeline: Timeline,
): Promise<void> {
  // A base backup begins where its label says, wherever the copied control file stood.
  if (control.timeline === timeline || isCopy) return
  const name = historyFileName(timeline)
  const file = [paths.receivedWal, paths.pgWal]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path))
  if (file === undefined) {
    throw new EngineRefused(
      `${paths.pgdata} is on timeline ${control.timeline} and shall follow ${timeline}, but ${name} is not in ${paths.receivedWal}: fetch it first`,
    )
  }
  const fork = forkPoint(parseHistory(await readFile(file, 'utf8'), timeline), control.timeline)
  if (fork !== undefined && control.checkpoint < fork) return
  const where =
    fork === undefined
      ? `is no ancestor of timeline ${timeline}`
      : `forked to timeline ${timeline} at ${formatLsn(fork)}`
  throw new EngineRefused(
    `${paths.pgdata} has diverged: its last checkpoint is at ${formatLsn(control.checkpoint)} on timeline ${control.timeline}, which ${where}. It needs a differential or full recovery`,
  )
}
