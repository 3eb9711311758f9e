/**
 * Many small files of the machine: read and written by a thread of their own (bulk-worker.ts), made durable by libuv's threads, several at a time, because the
 * disk puts what is asked for at the same time into one commit of its journal. Lives from `bulk()` to `close`.
 */
import { fdatasync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { promisify } from 'node:util'
import type { BulkFiles, FileContent, FileHead, TreeEntry } from '../ports/disk.ts'

/** Files that are made durable at a time. libuv has four threads, and WAL must not wait for all of them. */
const SYNCS = 3

export type BulkRequest =
  | { readonly id: number; readonly what: 'tree'; readonly folder: string }
  | {
      readonly id: number
      readonly what: 'read'
      readonly paths: readonly string[]
      readonly lengths: readonly number[]
    }
  | {
      readonly id: number
      readonly what: 'write'
      readonly paths: readonly string[]
      /** -1: the content stays. */
      readonly lengths: readonly number[]
      readonly bytes: Uint8Array
    }
  | { readonly id: number; readonly what: 'close'; readonly descriptors: readonly number[] }

export type BulkAnswer =
  | { readonly id: number; readonly tree: readonly TreeEntry[] }
  | { readonly id: number; readonly bytes: Uint8Array; readonly lengths: readonly number[] }
  | { readonly id: number; readonly descriptors: readonly number[] }
  | {
      readonly id: number
      readonly failed: Pick<NodeJS.ErrnoException, 'message' | 'code' | 'syscall' | 'path'>
    }

const sync = promisify(fdatasync)

interface Waiter {
  readonly resolve: (answer: BulkAnswer) => void
  readonly reject: (error: unknown) => void
}

export class RealBulkFiles implements BulkFiles {
  // The thread is always the compiled file: it does not inherit a loader that runs TypeScript.
  readonly #thread = new Worker(new URL('./bulk-worker.js', import.meta.url), { name: 'files', execArgv: [] })
  readonly #waiters = new Map<number, Waiter>()
  #asked = 0
  #ended: Error | undefined
  #syncing = 0
  readonly #syncTurns: (() => void)[] = []

  constructor() {
    this.#thread.on('message', (answer: BulkAnswer) => this.#answered(answer))
    this.#thread.once('error', (error) => this.#end(error))
    this.#thread.once('exit', () => this.#end(new Error('the thread for files has ended')))
  }

  async tree(folder: string): Promise<TreeEntry[]> {
    const listed = await this.#ask((id) => ({ id, what: 'tree', folder }))
    if (!('tree' in listed)) throw new Error('the thread for files answered something else')
    return [...listed.tree]
  }

  async read(files: readonly FileHead[]): Promise<(Uint8Array | undefined)[]> {
    const paths = files.map(({ path }) => path)
    const lengths = files.map(({ length }) => length)
    const read = await this.#ask((id) => ({ id, what: 'read', paths, lengths }))
    if (!('bytes' in read)) throw new Error('the thread for files answered something else')
    let at = 0
    return read.lengths.map((length) => (length < 0 ? undefined : read.bytes.subarray(at, (at += length))))
  }

  async put(files: readonly FileContent[]): Promise<void> {
    const paths = files.map(({ path }) => path)
    const lengths = files.map(({ bytes }) => bytes?.length ?? -1)
    const bytes = Buffer.concat(files.flatMap((file) => file.bytes ?? []))
    const written = await this.#ask((id) => ({ id, what: 'write', paths, lengths, bytes }))
    if (!('descriptors' in written)) throw new Error('the thread for files answered something else')
    const { descriptors } = written
    // All of them end before the files are closed: their numbers may be given to others then.
    const ends = await Promise.allSettled(descriptors.map((one) => this.#sync(one)))
    if (this.#ended === undefined)
      this.#thread.postMessage({ id: 0, what: 'close', descriptors } satisfies BulkRequest)
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    // Closed meanwhile: a number may have been somebody else's when it was synced.
    if (this.#ended !== undefined) throw this.#ended
  }

  close(): void {
    this.#end(new Error('the files are closed'))
    void this.#thread.terminate()
  }

  async #sync(descriptor: number): Promise<void> {
    if (this.#syncing >= SYNCS) await new Promise<void>((resolve) => this.#syncTurns.push(resolve))
    else this.#syncing++
    try {
      // The thread closed its files when it ended.
      if (this.#ended !== undefined) throw this.#ended
      await sync(descriptor)
    } finally {
      const next = this.#syncTurns.shift()
      if (next === undefined) this.#syncing--
      else next()
    }
  }

  #ask(request: (id: number) => BulkRequest): Promise<BulkAnswer> {
    const ended = this.#ended
    if (ended !== undefined) return Promise.reject(ended)
    const id = ++this.#asked
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject })
      this.#thread.postMessage(request(id))
    })
  }

  #answered(answer: BulkAnswer): void {
    const waiter = this.#waiters.get(answer.id)
    this.#waiters.delete(answer.id)
    if (!('failed' in answer)) waiter?.resolve(answer)
    else waiter?.reject(Object.assign(new Error(answer.failed.message), answer.failed))
  }

  #end(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#waiters.values()) reject(this.#ended)
    this.#waiters.clear()
  }
}
