/** Where the stand-in engine's WAL and histories lie in a folder. Kept: they are asked for at every answer and every look. */
import type { Lsn, Timeline } from '@mirabelle/messages'
import { historyFileName, walFileName } from '@mirabelle/wal'

/** Small, so that runs of a minute cross many segments. */
export const SIM_SEGMENT_BYTES = 16 * 1024

interface Paths {
  readonly segments: Map<number, string>
  readonly histories: Map<Timeline, string>
}

const pathsOf = new Map<string, Paths>()

function pathsIn(folder: string): Paths {
  let paths = pathsOf.get(folder)
  if (paths === undefined) {
    paths = { segments: new Map(), histories: new Map() }
    pathsOf.set(folder, paths)
  }
  return paths
}

export function segmentPath(folder: string, timeline: Timeline, lsn: Lsn): string {
  const { segments } = pathsIn(folder)
  const key = timeline * 2 ** 32 + Math.floor(lsn / SIM_SEGMENT_BYTES)
  let path = segments.get(key)
  if (path === undefined) {
    path = `${folder}/${walFileName(timeline, lsn, SIM_SEGMENT_BYTES)}`
    segments.set(key, path)
  }
  return path
}

export function historyPath(folder: string, timeline: Timeline): string {
  const { histories } = pathsIn(folder)
  let path = histories.get(timeline)
  if (path === undefined) {
    path = `${folder}/${historyFileName(timeline)}`
    histories.set(timeline, path)
  }
  return path
}
