/**
 * Makes a folder equal to a primary's data directory, inside an online backup: what a copy over the old base and one beside it have in common.
 *
 * Promise: PostgreSQL can start on the folder only after `sealFolder`, which writes the control file last, when everything else is durable.
 */
import { MirabelleError, type MessageOf } from '@mirabelle/messages'
import { faults, type BulkFiles, type Disk } from '@mirabelle/runtime'
import { copyFile, type RemoteFile } from './copy-file.ts'
import { copySmallFiles, inBatches, SMALL_BYTES } from './copy-small-files.ts'
import type { CopyProgress } from './copy-from-peer.ts'
import type { CopySource } from './copy-source.ts'
import { shapeTree, syncTree, wantedTree, type WantedTree } from './local-tree.ts'
import { CONTROL_FILE } from './source-files.ts'
import { WorkLimit } from './work-limit.ts'

/** Files open at a time. */
const FILES = 16
const CONTROL_BYTES = 64 * 1024

export interface FillFolderOptions {
  readonly disk: Disk
  /** For the small files; one after the other without. */
  readonly bulk: BulkFiles | undefined
  readonly source: CopySource
  readonly begun: MessageOf<'copy.begun'>
  /** The folder; what is in it already is compared, and fetched only where it differs. */
  readonly folder: string
  /** Requests under way at a time. */
  readonly requests: number
  readonly progress: (progress: CopyProgress) => void
}

/** What `sealFolder` needs. */
export interface FilledFolder {
  readonly tree: WantedTree
  readonly bytesTotal: number
  /** The control file, read after all other files. */
  readonly control: Uint8Array
}

/** Everything but label and control file. Each file is durable when this resolves; the folders are not. */
export async function fillFolder(options: FillFolderOptions): Promise<FilledFolder> {
  const { disk, source, begun, folder } = options
  const tree = treeOf(begun)
  await shapeTree(disk, folder, { ...tree, files: without(tree.files, CONTROL_FILE) }, options.bulk)
  const bytesTotal = await copyFiles(options)
  return { tree, bytesTotal, control: await source.read(CONTROL_FILE, 0, CONTROL_BYTES) }
}

/** The label, the folders, and last of all the control file. */
export async function sealFolder(
  disk: Disk,
  folder: string,
  filled: FilledFolder,
  label: string,
): Promise<void> {
  await disk.writeFileDurable(`${folder}/backup_label`, label)
  if (faults !== undefined) await faults.at('copy.label')
  await syncTree(disk, folder, filled.tree)
  await disk.syncDir(folder.slice(0, folder.lastIndexOf('/')))
  if (faults !== undefined) await faults.at('copy.synced')
  await disk.writeFileDurable(`${folder}/${CONTROL_FILE}`, filled.control)
  if (faults !== undefined) await faults.at('copy.sealed')
}

/** The tree of the primary. Throws `datadir.broken` when it has no control file. */
export function treeOf(begun: MessageOf<'copy.begun'>): WantedTree {
  const tree = wantedTree(begun.files.map(([path]) => path))
  if (tree.files.has(CONTROL_FILE)) return tree
  throw new MirabelleError('datadir.broken', `${CONTROL_FILE} is not among the files of the primary`)
}

/** All files but the control file. Resolves with their bytes. */
async function copyFiles(options: FillFolderOptions): Promise<number> {
  const { disk, bulk, source, begun, folder, requests, progress } = options
  const files = begun.files.flatMap(([path, size]): RemoteFile[] =>
    path.endsWith('/') || path === CONTROL_FILE ? [] : [{ path, size, target: `${folder}/${path}` }],
  )
  const bytesTotal = files.reduce((sum, { size }) => sum + size, 0)
  const limit = new WorkLimit(requests)
  let bytesDone = 0
  const done = (path: string, bytes: number): void => {
    bytesDone += bytes
    progress({ bytesDone, bytesTotal, step: path })
  }
  const copyOne = async (file: RemoteFile): Promise<void> => {
    await copyFile({ disk, source, limit, done: (bytes) => done(file.path, bytes) }, file)
    if (faults !== undefined) await faults.at('copy.file')
  }
  const copyBatch = async (files: BulkFiles, batch: readonly RemoteFile[]): Promise<void> => {
    await copySmallFiles({ disk, files, source, limit }, batch)
    for (const { path, size } of batch) {
      done(path, size)
      if (faults !== undefined) await faults.at('copy.file')
    }
  }
  const isSmall = ({ size }: RemoteFile): boolean => bulk !== undefined && size <= SMALL_BYTES
  const small =
    bulk === undefined ? [] : inBatches(files.filter(isSmall)).map((batch) => () => copyBatch(bulk, batch))
  const others = files.filter((file) => !isSmall(file)).map((file) => () => copyOne(file))
  await new WorkLimit(FILES).all([...small, ...others])
  return bytesTotal
}

function without(files: ReadonlySet<string>, path: string): ReadonlySet<string> {
  const rest = new Set(files)
  rest.delete(path)
  return rest
}
