/**
 * The disk port of a simulated process, over the files of its host. What is written is seen at once and durable after `sync`; the host's disk can be
 * slow, hang, be full, or fail to sync.
 */
import { copyBytes } from './copy-message.ts'
import type { DirEntry, Disk, FileHandle } from '@mirabelle/runtime'
import { diskError, type SimFile } from './sim-files.ts'
import type { SimProcess } from './sim-process.ts'

/** How the disk of a host behaves now. */
export interface DiskFaults {
  /** Every operation takes so many times longer. */
  slowness: number
  /** Nothing ends before this simulated time. */
  hangsUntilMs: number
  /** sync() rejects with EIO. */
  failSync: boolean
  /** Files cannot grow (ENOSPC). */
  full: boolean
  /** What is synced below this folder is said to be durable and is not. */
  liesBelow: string | undefined
  /** The last record of WAL below this folder cannot be read: to PostgreSQL WAL ends before it. */
  endsEarlyBelow: string | undefined
  /** The next crash recovery in this folder does not come to its end, whatever becomes of the disk, before that is allowed. */
  hangsRecovery: { readonly in: string; readonly mayEnd: () => boolean } | undefined
}

export const healthyDisk = (): DiskFaults => ({
  slowness: 1,
  hangsUntilMs: 0,
  failSync: false,
  full: false,
  liesBelow: undefined,
  endsEarlyBelow: undefined,
  hangsRecovery: undefined,
})

/** What a process does on a disk. */
export type DiskOperation = 'open' | 'write' | 'sync' | 'writeFileDurable' | 'rename' | 'remove' | 'syncDir'

/** Times of a healthy disk, ms. */
const READ_MS = 0.05
const WRITE_MS = 0.05
const SYNC_MS = [0.1, 0.6] as const
/** Between two looks whether something that hangs may go on. */
const HUNG_MS = 500
/** Room on a disk that is not full. */
const FREE_BYTES = 2 ** 40

export class SimDisk implements Disk {
  readonly #process: SimProcess

  constructor(process: SimProcess) {
    this.#process = process
  }

  async open(path: string, mode: 'r' | 'r+' | 'w+' | 'a+'): Promise<FileHandle> {
    await this.#now()
    await this.does('open', false)
    const { files } = this.#process.host
    if (files.isFolder(path) && mode !== 'r') throw diskError('EISDIR', path)
    const there = files.file(path)
    if (there === undefined && (mode === 'r' || mode === 'r+')) throw diskError('ENOENT', path)
    const file = there ?? files.make(path)
    if (mode === 'w+') file.resize(0)
    await this.does('open', true)
    return new SimFileHandle(this, file, path, mode !== 'r')
  }

  async readFile(path: string): Promise<Uint8Array> {
    await this.#now()
    const file = this.#process.host.files.file(path)
    if (file === undefined) throw diskError('ENOENT', path)
    return file.content.slice()
  }

  async writeFileDurable(path: string, content: Uint8Array | string): Promise<void> {
    const { host } = this.#process
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content.slice()
    await this.does('writeFileDurable', false)
    if (host.disk.full) throw diskError('ENOSPC', path)
    await this.take(this.syncMs())
    if (host.disk.failSync) throw diskError('EIO', path)
    host.files.make(path).replace(bytes)
    await this.does('writeFileDurable', true)
  }

  async list(path: string): Promise<DirEntry[]> {
    await this.#now()
    return this.#process.host.files.list(path)
  }

  async exists(path: string): Promise<boolean> {
    await this.#now()
    const { files } = this.#process.host
    return files.file(path) !== undefined || files.isFolder(path)
  }

  async makeDir(path: string): Promise<void> {
    await this.#now()
    this.#process.host.files.makeFolder(path, false)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#now()
    await this.does('rename', false)
    this.#process.host.files.rename(from, to)
    await this.does('rename', true)
  }

  async remove(path: string): Promise<void> {
    await this.#now()
    await this.does('remove', false)
    this.#process.host.files.remove(path)
    this.#process.host.onRemoved?.(this.#process, path)
    await this.does('remove', true)
  }

  async syncDir(path: string): Promise<void> {
    await this.does('syncDir', false)
    await this.take(this.syncMs())
    this.#process.host.files.syncFolder(path)
    await this.does('syncDir', true)
  }

  /** A fault may be waiting for this operation: then the process ends, or stands still, before or after it. Costs nothing when none is. */
  does(operation: DiskOperation, after: boolean): Promise<void> | undefined {
    const { host } = this.#process
    if (host.onDiskOperation === undefined) return undefined
    host.onDiskOperation(this.#process, operation, after)
    return this.take(0)
  }

  /** True when a sync of this file is told and not done. */
  lies(path: string): boolean {
    const { liesBelow } = this.#process.host.disk
    return liesBelow !== undefined && path.startsWith(liesBelow)
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.host.disk.full ? 0 : FREE_BYTES)
  }

  /** A recovery in this folder begins, and hangs when it is to: once. */
  async recovers(dataDir: string): Promise<void> {
    const { disk } = this.#process.host
    const { hangsRecovery } = disk
    if (hangsRecovery?.in !== dataDir) return
    disk.hangsRecovery = undefined
    this.#process.world.trace.add('fault', `the recovery of ${this.#process.name} hangs`)
    while (!hangsRecovery.mayEnd()) await this.take(HUNG_MS)
  }

  /** How long a sync takes now. */
  syncMs(): number {
    return this.#process.world.random.between(...SYNC_MS)
  }

  /** Resolves after the disk has worked for so long; never for a process that is dead. */
  take(ms: number): Promise<void> {
    const { host, world, alive } = this.#process
    if (!alive) return new Promise(() => undefined)
    const waitMs = Math.max(ms * host.disk.slowness, host.disk.hangsUntilMs - world.nowMs)
    return new Promise((resolve) => void this.#process.schedule(waitMs, resolve))
  }

  get host(): SimProcess['host'] {
    return this.#process.host
  }

  /** Names and small things come from memory, unless the disk hangs. */
  #now(): Promise<void> {
    const { host, world, alive } = this.#process
    if (alive && host.disk.hangsUntilMs <= world.nowMs) return Promise.resolve()
    return this.take(0)
  }
}

class SimFileHandle implements FileHandle {
  readonly #disk: SimDisk
  readonly #file: SimFile
  readonly #path: string
  readonly #writable: boolean
  #closed = false

  constructor(disk: SimDisk, file: SimFile, path: string, writable: boolean) {
    this.#disk = disk
    this.#file = file
    this.#path = path
    this.#writable = writable
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#check()
    await this.#disk.take(READ_MS)
    return copyBytes(this.#file.content.subarray(position, position + length))
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    this.#mayWrite()
    await this.#disk.does('write', false)
    const grows = position + bytes.length > this.#file.content.length
    if (grows && this.#disk.host.disk.full) throw diskError('ENOSPC', this.#path)
    const written = copyBytes(bytes)
    await this.#disk.take(WRITE_MS)
    // At the end: a sync that begins meanwhile does not cover it.
    this.#file.write(position, written)
    await this.#disk.does('write', true)
  }

  async truncate(length: number): Promise<void> {
    this.#mayWrite()
    if (length > this.#file.content.length && this.#disk.host.disk.full) throw diskError('ENOSPC', this.#path)
    this.#file.resize(length)
    return Promise.resolve()
  }

  async reserve(length: number): Promise<void> {
    if (length > this.#file.content.length) await this.truncate(length)
  }

  async size(): Promise<number> {
    this.#check()
    return Promise.resolve(this.#file.content.length)
  }

  async sync(): Promise<void> {
    this.#check()
    await this.#disk.does('sync', false)
    // What is written while the sync runs may or may not be covered: it is not.
    const makeDurable = this.#file.snapshot()
    await this.#disk.take(this.#disk.syncMs())
    if (this.#disk.host.disk.failSync) throw diskError('EIO', this.#path)
    makeDurable(this.#disk.lies(this.#path))
    await this.#disk.does('sync', true)
  }

  async close(): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }

  #check(): void {
    if (this.#closed) throw diskError('EBADF', this.#path)
  }

  #mayWrite(): void {
    this.#check()
    if (!this.#writable) throw diskError('EBADF', this.#path)
  }
}
