/** The local side of a copy: folders made, what the primary does not have deleted, folders made durable. */
import type { BulkFiles, Disk, TreeEntry } from '@mirabelle/runtime'

/** Paths below the data directory, without a slash at the end. */
export interface WantedTree {
  readonly folders: ReadonlySet<string>
  readonly files: ReadonlySet<string>
}

/** The tree of a `copy.begun` list, in which folders end in a slash. */
export function wantedTree(paths: Iterable<string>): WantedTree {
  const folders = new Set<string>()
  const files = new Set<string>()
  for (const path of paths) {
    if (path.endsWith('/')) folders.add(path.slice(0, -1))
    else files.add(path)
  }
  return { folders, files }
}

/** Deletes what is not wanted and makes the folders. Files stay as they are. */
export async function shapeTree(
  disk: Disk,
  root: string,
  wanted: WantedTree,
  bulk?: BulkFiles,
): Promise<void> {
  await disk.makeDir(root)
  const there = await prune(disk, root, wanted, await (bulk?.tree(root) ?? listTree(disk, root)))
  for (const folder of wanted.folders) if (!there.has(folder)) await disk.makeDir(`${root}/${folder}`)
}

/** Makes the entries of all wanted folders durable, inner ones first. */
export async function syncTree(disk: Disk, root: string, wanted: WantedTree): Promise<void> {
  for (const folder of [...wanted.folders].reverse()) await disk.syncDir(`${root}/${folder}`)
  await disk.syncDir(root)
}

/** As `BulkFiles.tree`, folder by folder. */
async function listTree(disk: Disk, root: string, below = ''): Promise<TreeEntry[]> {
  const tree: TreeEntry[] = []
  for (const { name, isDirectory, size } of await disk.list(`${root}/${below}`)) {
    const path = below === '' ? name : `${below}/${name}`
    tree.push({ path, kind: isDirectory ? 'folder' : 'file', size })
    if (isDirectory) tree.push(...(await listTree(disk, root, path)))
  }
  return tree
}

/** Deletes what is there and not wanted. Resolves with the folders that stay. */
async function prune(
  disk: Disk,
  root: string,
  wanted: WantedTree,
  there: readonly TreeEntry[],
): Promise<ReadonlySet<string>> {
  const stay = new Set<string>()
  let gone = ''
  for (const { path, kind } of there) {
    if (gone !== '' && path.startsWith(gone)) continue
    const isFolder = kind === 'folder'
    if (isFolder ? wanted.folders.has(path) : wanted.files.has(path)) {
      if (isFolder) stay.add(path)
      continue
    }
    if (isFolder) gone = `${path}/`
    await disk.remove(`${root}/${path}`)
  }
  return stay
}
