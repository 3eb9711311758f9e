/** PostgreSQL in this thread, with the system calls recorded by which something reaches the disk, and a disk that takes its time. */
import fs, { readlinkSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { sep } from 'node:path'
import type { startBackend } from '../../src/worker/backend.ts'
import type { FsObserver } from '../../src/worker/durable-fs.ts'
import { compiledPostgres } from '../../src/host/postgres-wasm.ts'
import { Field, SharedState } from '../../src/shared/shared-state.ts'

export interface Call {
  readonly call: 'fsync' | 'fdatasync' | 'write' | 'truncate' | 'unlink' | 'rename'
  readonly path: string
  /** Of a rename. */
  readonly to?: string
  /** Of a write: the file's bytes behind it, and the LSN of the newest of its pages. */
  readonly end?: number
  readonly lsn?: number
}

export const PAGE = 8192
/** What was called since it was last emptied. */
export const calls: Call[] = []
let watching = false

/** Records calls within `whileWatched`, until the test is over. The recorder replaces Node's functions for this process only. */
export function record(t: { teardown(fn: () => void): void }): void {
  const { fsyncSync, fdatasyncSync, writeSync, ftruncateSync, truncateSync, unlinkSync, renameSync } = fs
  const note = (call: Call['call'], fd: number): void => {
    if (watching) calls.push({ call, path: readlinkSync(`/proc/self/fd/${fd}`) })
  }
  fs.fsyncSync = (fd) => {
    note('fsync', fd)
    fsyncSync(fd)
  }
  fs.fdatasyncSync = (fd) => {
    note('fdatasync', fd)
    fdatasyncSync(fd)
  }
  fs.writeSync = ((fd: number, bytes: Int8Array, offset: number, length: number, position: number) => {
    if (watching) {
      const pages = Buffer.from(bytes.buffer, bytes.byteOffset + offset, length)
      const lsns = Array.from({ length: Math.floor(length / PAGE) }, (_, i) => {
        return pages.readUInt32LE(i * PAGE) * 2 ** 32 + pages.readUInt32LE(i * PAGE + 4)
      })
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      calls.push({ call: 'write', path, end: position + length, lsn: Math.max(0, ...lsns) })
    }
    return writeSync(fd, bytes, offset, length, position)
  }) as typeof writeSync
  fs.ftruncateSync = (fd, length) => {
    note('truncate', fd)
    ftruncateSync(fd, length)
  }
  fs.truncateSync = (path, length) => {
    if (watching) calls.push({ call: 'truncate', path: String(path) })
    truncateSync(path, length)
  }
  fs.unlinkSync = (path) => {
    if (watching) calls.push({ call: 'unlink', path: String(path) })
    unlinkSync(path)
  }
  fs.renameSync = (from, to) => {
    if (watching) calls.push({ call: 'rename', path: String(from), to: String(to) })
    renameSync(from, to)
  }
  syncBuiltinESMExports()
  t.teardown(() => {
    Object.assign(fs, {
      fsyncSync,
      fdatasyncSync,
      writeSync,
      ftruncateSync,
      truncateSync,
      unlinkSync,
      renameSync,
    })
    syncBuiltinESMExports()
  })
}

export const observer: FsObserver = {
  walWritten() {},
  walWanted() {},
  walRead() {},
  dataTouched() {},
  syncFailed(error) {
    throw error
  },
}

/** How a primary is started. */
export async function primary(): Promise<Parameters<typeof startBackend>[2]> {
  return { role: 'primary', settings: [], wasm: await compiledPostgres('nothing') }
}

export const isWal = ({ path }: Call): boolean => path.includes(`${sep}pg_wal`)

/** Syncs of files that are done when the engine waits for them, and not before. */
export class LazyDisk extends SharedState {
  readonly #synced: (paths: readonly string[]) => void
  #asked: (readonly string[])[] = []

  constructor(synced: (paths: readonly string[]) => void) {
    super()
    this.#synced = synced
  }

  ask(group: readonly string[]): void {
    this.#asked.push(group)
  }

  override waitWhile(): void {
    for (const group of this.#asked.splice(0)) {
      this.#synced(group)
      this.addAndWake(Field.filesSynced, 1)
    }
  }
}

/** Records what is called while `work` runs; what was recorded before is forgotten. */
export async function whileWatched<T>(work: () => Promise<T>): Promise<T> {
  calls.length = 0
  watching = true
  try {
    return await work()
  } finally {
    watching = false
  }
}
