/**
 * A copy of the mirror's own base to begin a new one with, made while PostgreSQL replays on it. It need not be consistent, nor durable: every block of it
 * is compared with the primary's afterwards, and every file made durable then.
 */
import { belongsInBackup } from '@mirabelle/engine'
import type { Disk, FileHandle } from '@mirabelle/runtime'
import { CONTROL_FILE } from '../copy/source-files.ts'
import { WorkLimit } from '../copy/work-limit.ts'

const CHUNK_BYTES = 1024 * 1024
/** Files up to this size are not cloned: to fetch one costs less than to clone and compare it. */
const SMALL_BYTES = 32 * 1024
/** Files at a time: with the chunk this bounds the memory. */
const FILES = 4

/** Copies what belongs into a base, without the control file, to the new folder `to`. Rejects when the signal aborts. */
export async function cloneBase(disk: Disk, from: string, to: string, signal: AbortSignal): Promise<void> {
  const files: LocalFile[] = []
  await makeFolders({ disk, from, to, files }, '')
  await new WorkLimit(FILES).all(
    files.map(
      ({ path, size }) =>
        () =>
          cloneFile(disk, { from: `${from}/${path}`, to: `${to}/${path}`, size }, signal),
    ),
  )
}

interface LocalFile {
  readonly path: string
  readonly size: number
}

interface Walk {
  readonly disk: Disk
  readonly from: string
  readonly to: string
  readonly files: LocalFile[]
}

async function makeFolders(walk: Walk, below: string): Promise<void> {
  const { disk, from, to, files } = walk
  await disk.makeDir(`${to}/${below}`)
  const entries = await ifThere(disk.list(`${from}/${below}`))
  for (const { name, isDirectory, size } of entries ?? []) {
    const path = below === '' ? name : `${below}/${name}`
    if (!belongsInBackup(path) || path === CONTROL_FILE) continue
    if (isDirectory) await makeFolders(walk, path)
    else if (size > SMALL_BYTES) files.push({ path, size })
  }
}

/** A file that is gone meanwhile (a table was dropped) is not needed. */
async function cloneFile(
  disk: Disk,
  file: { readonly from: string; readonly to: string; readonly size: number },
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const source = await ifThere(disk.open(file.from, 'r'))
  if (source === undefined) return
  try {
    const target = await disk.open(file.to, 'w+')
    try {
      await pour(source, target, file.size, signal)
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** Up to the size that was listed: what it has grown by meanwhile is fetched like everything that differs. */
async function pour(
  source: FileHandle,
  target: FileHandle,
  size: number,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    signal.throwIfAborted()
    const bytes = await source.read(at, Math.min(CHUNK_BYTES, size - at))
    if (bytes.length === 0) return
    await target.write(at, bytes)
  }
}

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined
    throw error
  }
}
