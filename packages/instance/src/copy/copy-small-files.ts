/**
 * Brings many small files to the primary's content with few requests and few steps: most files of a data directory are small, and what is done once a file
 * costs more than their bytes. One that differs is fetched whole; each is made durable, also when nothing of it differs.
 */
import { BLOCK_BYTES } from '@mirabelle/engine'
import type { BulkFiles, Disk, FileContent } from '@mirabelle/runtime'
import { hashBlocks } from './block-hash.ts'
import type { RemoteFile } from './copy-file.ts'
import type { CopySource } from './copy-source.ts'
import type { WorkLimit } from './work-limit.ts'

/** Files up to this size are small. */
export const SMALL_BYTES = 8 * BLOCK_BYTES
/** Files of one batch, and bytes of their blocks: compared in one go, about 0.5 ms. */
const BATCH_FILES = 64
const BATCH_BYTES = 64 * BLOCK_BYTES
const NOTHING = new Uint8Array(0)

export interface CopySmallFilesOptions {
  readonly disk: Disk
  readonly files: BulkFiles
  readonly source: Pick<CopySource, 'hashFiles' | 'readFiles'>
  /** Limits what is under way at a time over all files, and with it the memory. */
  readonly limit: WorkLimit
}

/** Small files as they are copied together, in their order. */
export function inBatches(files: readonly RemoteFile[]): RemoteFile[][] {
  const batches: RemoteFile[][] = []
  let bytes = 0
  for (const file of files) {
    const more = blocksOf(file) * BLOCK_BYTES
    let batch = batches.at(-1)
    if (batch === undefined || batch.length >= BATCH_FILES || bytes + more > BATCH_BYTES) {
      batch = []
      batches.push(batch)
      bytes = 0
    }
    batch.push(file)
    bytes += more
  }
  return batches
}

/** Copies the files of a batch, new or over what is there. */
export async function copySmallFiles(
  options: CopySmallFilesOptions,
  batch: readonly RemoteFile[],
): Promise<void> {
  const { disk, files, source, limit } = options
  const full = batch.filter(({ size }) => size > 0)
  const equal = await equalFiles(options, full)
  const wanted = full.filter((file) => !equal.has(file))
  const fetched =
    wanted.length === 0
      ? []
      : await limit.run(() =>
          source.readFiles(wanted.map((file) => [file.path, blocksOf(file) * BLOCK_BYTES])),
        )
  const contents = new Map(wanted.map((file, index) => [file, fetched[index] ?? NOTHING]))
  // Dropped since it was listed. WAL tells the rest, but an empty file where PostgreSQL expects content would stop it.
  const isGone = (file: RemoteFile): boolean => contents.get(file)?.length === 0
  const content = (file: RemoteFile): FileContent => ({
    path: file.target,
    bytes: equal.has(file) ? undefined : (contents.get(file) ?? NOTHING),
  })
  await files.put(batch.filter((file) => !isGone(file)).map(content))
  for (const file of batch.filter(isGone)) await disk.remove(file.target)
}

/** Those that are here as they are there. */
async function equalFiles(
  { files, source, limit }: CopySmallFilesOptions,
  full: readonly RemoteFile[],
): Promise<ReadonlySet<RemoteFile>> {
  // A byte more shows one that is longer here.
  const here = await files.read(full.map(({ target, size }) => ({ path: target, length: size + 1 })))
  const sized = full.flatMap((file, index) => {
    const bytes = here[index]
    return bytes?.length === file.size ? [{ file, mine: hashBlocks(bytes) }] : []
  })
  if (sized.length === 0) return new Set()
  const theirs = await limit.run(() => source.hashFiles(sized.map(({ file }) => [file.path, blocksOf(file)])))
  return new Set(
    sized.flatMap(({ file, mine }, index) =>
      Buffer.compare(mine, theirs[index] ?? NOTHING) === 0 ? [file] : [],
    ),
  )
}

function blocksOf({ size }: RemoteFile): number {
  return Math.ceil(size / BLOCK_BYTES)
}
