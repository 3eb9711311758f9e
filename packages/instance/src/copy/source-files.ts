/**
 * Files of a data directory as a copy reads them. Made for one copy, closed with it. Keeps the files of the last requests open; a file that
 * is gone reads as empty, because WAL tells the copy the rest.
 */
import { MirabelleError } from '@mirabelle/messages'
import { backupOf, listBackup, type BackupEntry } from '@mirabelle/engine'
import type { BulkFiles, Disk, FileHandle, FileHead } from '@mirabelle/runtime'
import { hashFile } from './block-hash.ts'

/** Files that are kept open between requests. */
const KEPT_OPEN = 32
/** How often pg_control is read until two readings agree: PostgreSQL may be writing it. */
const CONTROL_READINGS = 100
export const CONTROL_FILE = 'global/pg_control'

interface OpenFile {
  readonly handle: Promise<FileHandle | undefined>
  users: number
}

export class SourceFiles {
  readonly #disk: Disk
  readonly #folder: string
  readonly #open = new Map<string, OpenFile>()
  #bulk: BulkFiles | undefined
  #closed = false

  constructor(disk: Disk, folder: string) {
    this.#disk = disk
    this.#folder = folder
  }

  /** What is about to be needed is made meanwhile. */
  prepare(): void {
    if (!this.#closed) this.#bulk ??= this.#disk.bulk?.()
  }

  /** What belongs into a copy, the control file last. */
  async list(): Promise<BackupEntry[]> {
    this.prepare()
    if (this.#bulk === undefined) return listBackup(this.#folder)
    const tree = await this.#bulk.tree(this.#folder)
    return backupOf(
      tree.flatMap(({ path, kind, size }): BackupEntry[] =>
        kind === 'other' ? [] : [{ path, kind, bytes: size }],
      ),
    )
  }

  /** Bytes of a file; fewer when it ends. */
  read(path: string, offset: number, length: number): Promise<Uint8Array> {
    if (path === CONTROL_FILE) return this.#readControl(offset, length)
    return this.#using(path, (file) => file.read(offset, length))
  }

  hashes(path: string, firstBlock: number, blocks: number): Promise<Uint8Array> {
    return this.#using(path, (file) => hashFile(file, firstBlock, blocks))
  }

  /** The beginnings of small files below the folder; fewer bytes where one ends, none when it is gone. */
  async small(files: readonly FileHead[]): Promise<Uint8Array[]> {
    if (this.#disk.bulk === undefined)
      return Promise.all(files.map(({ path, length }) => this.read(path, 0, length)))
    this.prepare()
    const heads = files.map(({ path, length }) => ({ path: `${this.#folder}/${path}`, length }))
    if (this.#bulk === undefined) throw new MirabelleError('connection.lost', 'the copy has ended')
    const read = await this.#bulk.read(heads)
    return files.map((_, index) => read[index] ?? new Uint8Array(0))
  }

  /** Closes what is open; requests that run end first. */
  async close(): Promise<void> {
    this.#closed = true
    this.#bulk?.close()
    await this.#shrink(0)
  }

  async #readControl(offset: number, length: number): Promise<Uint8Array> {
    let before = await this.#using(CONTROL_FILE, (file) => file.read(offset, length))
    for (let reading = 0; reading < CONTROL_READINGS; reading++) {
      const now = await this.#using(CONTROL_FILE, (file) => file.read(offset, length))
      if (Buffer.compare(before, now) === 0) return now
      before = now
    }
    throw new MirabelleError('timeout', `${CONTROL_FILE} changes all the time: no two readings agree`)
  }

  async #using(path: string, work: (file: FileHandle) => Promise<Uint8Array>): Promise<Uint8Array> {
    let entry = this.#open.get(path)
    if (entry === undefined) entry = { handle: this.#openFile(path), users: 0 }
    // Last used, last in the order.
    this.#open.delete(path)
    this.#open.set(path, entry)
    entry.users++
    try {
      const handle = await entry.handle
      return handle === undefined ? new Uint8Array(0) : await work(handle)
    } finally {
      entry.users--
      await this.#shrink(this.#closed ? 0 : KEPT_OPEN)
    }
  }

  async #openFile(path: string): Promise<FileHandle | undefined> {
    try {
      return await this.#disk.open(`${this.#folder}/${path}`, 'r')
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ENOENT') return undefined
      throw error
    }
  }

  async #shrink(keep: number): Promise<void> {
    const closing: Promise<void>[] = []
    for (const [path, entry] of this.#open) {
      if (this.#open.size <= keep) break
      if (entry.users > 0) continue
      this.#open.delete(path)
      // A file that could not be opened has told its reader so.
      closing.push(entry.handle.then((handle) => handle?.close()).catch(() => undefined))
    }
    await Promise.all(closing)
  }
}
