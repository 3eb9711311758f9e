/**
 * Brings one file to the primary's content: asks for hashes of blocks that are here, fetches those that differ, cuts off what is too
 * much, and makes the result durable. Also when nothing differs: an instance that was killed leaves bytes that were never fsynced.
 */
import { BLOCK_BYTES } from '@mirabelle/engine'
import type { Disk, FileHandle } from '@mirabelle/runtime'
import { hashFile, sameHash } from './block-hash.ts'
import type { CopySource } from './copy-source.ts'
import type { WorkLimit } from './work-limit.ts'

/** Compared with one request for hashes. */
const WINDOW_BLOCKS = 512
/** Fetched with one request. */
const READ_BLOCKS = 128

export interface CopyFileOptions {
  readonly disk: Disk
  readonly source: CopySource
  /** Limits what is under way at a time over all files, and with it the memory. */
  readonly limit: WorkLimit
  /** So many bytes more are as they should be. */
  readonly done: (bytes: number) => void
}

export interface RemoteFile {
  /** Path below the primary's data directory. */
  readonly path: string
  readonly target: string
  /** Size when the backup began. */
  readonly size: number
}

/** Copies the file, new or over what is there. */
export async function copyFile(options: CopyFileOptions, remote: RemoteFile): Promise<void> {
  const { disk, limit } = options
  const file = await disk.open(remote.target, 'a+')
  let gone = false
  try {
    const have = await file.size()
    const end = new FileEnd(remote.size)
    const work = windows(remote.size, have).map(
      (window) => () => copyWindow(options, remote, file, window, end),
    )
    await limit.all(work)
    const size = end.size()
    gone = size === 0 && remote.size > 0
    if (size !== (await file.size())) await file.truncate(size)
    await file.sync()
  } finally {
    await file.close()
  }
  // Dropped since it was listed. WAL tells the rest, but an empty file where PostgreSQL expects content would stop it.
  if (gone) await disk.remove(remote.target)
}

/** Where the file ends: as it was listed, unless reading showed something else meanwhile. */
class FileEnd {
  #least: number | undefined
  #most: number

  constructor(listed: number) {
    this.#most = listed
  }

  read(offset: number, wanted: number, got: number): void {
    if (got < wanted) this.#least = Math.min(this.#least ?? Number.POSITIVE_INFINITY, offset + got)
    else this.#most = Math.max(this.#most, offset + got)
  }

  size(): number {
    return this.#least ?? this.#most
  }
}

interface Window {
  readonly firstBlock: number
  readonly blocks: number
  /** Blocks of it that are here. */
  readonly present: number
}

/** Blocks that are here are compared in big windows, others fetched in small ones. */
function windows(size: number, have: number): Window[] {
  const blocks = Math.ceil(size / BLOCK_BYTES)
  const here = Math.min(blocks, Math.ceil(have / BLOCK_BYTES))
  const all: Window[] = []
  for (let first = 0; first < blocks;) {
    const count = first < here ? Math.min(WINDOW_BLOCKS, here - first) : Math.min(READ_BLOCKS, blocks - first)
    all.push({ firstBlock: first, blocks: count, present: first < here ? count : 0 })
    first += count
  }
  return all
}

async function copyWindow(
  options: CopyFileOptions,
  remote: RemoteFile,
  file: FileHandle,
  window: Window,
  end: FileEnd,
): Promise<void> {
  const last = window.firstBlock + window.blocks
  const differs = await differing(options, remote, file, window)
  for (let block = window.firstBlock; block < last;) {
    if (!differs(block)) {
      block++
      continue
    }
    let count = 1
    while (count < READ_BLOCKS && block + count < last && differs(block + count)) count++
    const offset = block * BLOCK_BYTES
    const wanted = count * BLOCK_BYTES
    const bytes = await options.source.read(remote.path, offset, wanted)
    if (bytes.length > 0) await file.write(offset, bytes)
    // The last block of a file that is no table is short anyway.
    const atEnd = bytes.length < wanted && offset + bytes.length === remote.size
    if (!atEnd) end.read(offset, wanted, bytes.length)
    block += count
  }
  options.done(Math.min(last * BLOCK_BYTES, remote.size) - window.firstBlock * BLOCK_BYTES)
}

/** Which blocks of the window have to be fetched. */
async function differing(
  { source }: CopyFileOptions,
  remote: RemoteFile,
  file: FileHandle,
  window: Window,
): Promise<(block: number) => boolean> {
  const { firstBlock, blocks, present } = window
  if (present === 0) return () => true
  // A longer file here is compared only up to where the primary's ends.
  const [theirs, mine] = await Promise.all([
    source.hashes(remote.path, firstBlock, blocks),
    hashFile(file, firstBlock, present, remote.size),
  ])
  return (block) => !sameHash(mine, theirs, block - firstBlock)
}
