/**
 * The disk port: what actors do with files (WAL files of a mirror, small state files, data directories that are copied).
 * All of it is asynchronous and off the main thread on the real side. Errors are Node's (`code` is ENOENT, ENOSPC, EIO, …).
 */

/** An open file. */
export interface FileHandle {
  read(position: number, length: number): Promise<Uint8Array>
  /** Writes all bytes at the position. */
  write(position: number, bytes: Uint8Array): Promise<void>
  truncate(length: number): Promise<void>
  /** Lengthens the file with zeros whose place on the disk is taken: what is written there later changes only data, and cannot find the disk full. */
  reserve(length: number): Promise<void>
  size(): Promise<number>
  /** Resolves when the content is durable. After an error nothing may be assumed about what is. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface DirEntry {
  readonly name: string
  readonly isDirectory: boolean
  readonly size: number
}

export interface Disk {
  /** `r` existing, read only; `r+` existing; `w+` made or emptied; `a+` made when missing, kept when there, writable anywhere. */
  open(path: string, mode: 'r' | 'r+' | 'w+' | 'a+'): Promise<FileHandle>
  /** The whole file. Rejects with ENOENT. */
  readFile(path: string): Promise<Uint8Array>
  /** Replaces a file so that after a crash either the old or the new content is there: temporary file, fsync, rename, fsync of the folder. */
  writeFileDurable(path: string, content: Uint8Array | string): Promise<void>
  /** Entries of a folder sorted by name; rejects with ENOENT. */
  list(path: string): Promise<DirEntry[]>
  exists(path: string): Promise<boolean>
  /** Makes a folder and its parents (mode 0700). */
  makeDir(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Deletes a file or a folder with all that is in it; nothing happens when it is not there. */
  remove(path: string): Promise<void>
  /** Makes the entries of a folder durable. */
  syncDir(path: string): Promise<void>
  /** Bytes that can still be written to the file system that a folder or file is in. */
  freeBytes(path: string): Promise<number>
  /** For many small files; absent where one file after the other costs no more. */
  bulk?(): BulkFiles
}

/** The beginning of a file that is wanted. */
export interface FileHead {
  readonly path: string
  /** At most so many bytes. */
  readonly length: number
}

/** What is to be in a file. */
export interface FileContent {
  readonly path: string
  /** undefined: what is in it. */
  readonly bytes: Uint8Array | undefined
}

/** What is somewhere below a folder. */
export interface TreeEntry {
  /** Below the folder, with forward slashes. */
  readonly path: string
  readonly kind: 'file' | 'folder' | 'other'
  /** Bytes; 0 unless it is a file. */
  readonly size: number
}

/** Many small files in few steps. Made by `Disk.bulk`, to be closed by whoever asked for it. */
export interface BulkFiles {
  /** Everything below a folder, each folder before what is in it; without what vanishes meanwhile. Rejects with ENOENT. */
  tree(folder: string): Promise<TreeEntry[]>
  /** Fewer bytes where a file ends, undefined where there is none. */
  read(files: readonly FileHead[]): Promise<(Uint8Array | undefined)[]>
  /** Makes each file, or gives it this content and no other (mode 0600). Resolves when all are durable; after an error nothing may be assumed about them. */
  put(files: readonly FileContent[]): Promise<void>
  /** What is under way rejects. */
  close(): void
}
