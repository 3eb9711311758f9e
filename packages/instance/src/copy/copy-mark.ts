/**
 * The mark of a copy that has begun to change the data directory, `D/state/copy-begun.json`. A full copy that was interrupted finds by it
 * that what lies there is its own beginning, and goes on with that.
 */
import { MirabelleError } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { readJson } from '../state/json-file.ts'
import { stateDir } from '../state/layout.ts'
import type { CopyMode } from './copy-from-peer.ts'

const markFile = (datadir: string): string => `${stateDir(datadir)}/copy-begun.json`

/** The mode of the copy that was begun and not completed; undefined when there is none. Rejects with `datadir.broken` for a mark that says nothing. */
export async function begunCopy(disk: Disk, datadir: string): Promise<CopyMode | undefined> {
  const path = markFile(datadir)
  const mark = await readJson(disk, path)
  if (mark === undefined) return undefined
  const mode = (mark as { readonly mode?: unknown } | null)?.mode
  if (mode === 'differential' || mode === 'full') return mode
  throw new MirabelleError(
    'datadir.broken',
    `${path} does not say which copy was begun: recover with a full copy.`,
  )
}

/** Durable before the first byte of the data directory is changed. */
export async function markBegun(disk: Disk, datadir: string, mode: CopyMode): Promise<void> {
  await disk.makeDir(stateDir(datadir))
  await disk.writeFileDurable(markFile(datadir), `${JSON.stringify({ mode })}\n`)
}

export async function markComplete(disk: Disk, datadir: string): Promise<void> {
  await disk.remove(markFile(datadir))
  await disk.syncDir(stateDir(datadir))
}
