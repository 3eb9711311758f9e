/**
 * What a slow client has not taken yet, in a file: first in, first out. Made by an output when its client is slower than the answer, ended when all of it has
 * been taken.
 *
 * Promises: bytes come out in the order in which they went in. What cannot be written (no room, over the budget) stays in memory, and from then on
 * everything does: whoever fills it has to wait for the client then, as without a file. Only what has been written and cannot be read is lost, and told.
 */

/** A file of one spill. The file handles of the runtime's disk port fit. */
export interface SpillFile {
  read(position: number, length: number): Promise<Uint8Array>
  /** Writes all bytes at the position. */
  write(position: number, bytes: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** Makes a file that nobody else sees and that is gone when it is closed. Rejects when there is no room for one. */
export type OpenSpillFile = () => Promise<SpillFile>

/** Bytes that all spills of a front door may have on the disk together. */
export class SpillBudget {
  #left: number

  constructor(bytes: number) {
    this.#left = bytes
  }

  take(bytes: number): boolean {
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }

  give(bytes: number): void {
    this.#left += bytes
  }
}

export interface SpillOptions {
  readonly open: OpenSpillFile
  /** Most bytes of this spill in its file. */
  readonly limitBytes: number
  readonly budget: SpillBudget
  /** Bytes have left the memory. */
  readonly onRoom: () => void
  /** Nothing more goes to the file: what comes waits in memory. */
  readonly onFull: (reason: string) => void
}

export class Spill {
  readonly #options: SpillOptions
  #file: SpillFile | undefined
  /** Not yet written. */
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #writingBytes = 0
  #writing: Promise<void> | undefined
  #readAt = 0
  #writtenTo = 0
  #full = false
  #closed = false

  constructor(options: SpillOptions) {
    this.#options = options
  }

  /** All that is still to be taken. */
  get bytes(): number {
    return this.memoryBytes + this.#writtenTo - this.#readAt
  }

  /** The part of it that is in memory. */
  get memoryBytes(): number {
    return this.#tailBytes + this.#writingBytes
  }

  append(bytes: Uint8Array): void {
    this.#tail.push(bytes)
    this.#tailBytes += bytes.length
    this.#write()
  }

  /** Up to so many of the oldest bytes, waiting for the disk if need be; none when there are none. Rejects when the file cannot be read. One at a time. */
  async take(maxBytes: number): Promise<Uint8Array> {
    for (;;) {
      const onDisk = this.#writtenTo - this.#readAt
      if (onDisk > 0 && this.#file !== undefined) {
        const bytes = await this.#file.read(this.#readAt, Math.min(onDisk, maxBytes))
        if (bytes.length === 0) throw new Error('the file of unread results is shorter than what was written')
        this.#readAt += bytes.length
        return bytes
      }
      if (this.#writing === undefined) return this.#takeTail(maxBytes)
      await this.#writing
    }
  }

  /** Forgets everything. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#tail = []
    this.#tailBytes = 0
    await this.#writing
    this.#options.budget.give(this.#writtenTo)
    await this.#file?.close()
  }

  #takeTail(maxBytes: number): Uint8Array {
    const taken: Uint8Array[] = []
    let bytes = 0
    while (this.#tail[taken.length] !== undefined && bytes < maxBytes) {
      const next = this.#tail[taken.length] as Uint8Array
      taken.push(next)
      bytes += next.length
    }
    this.#tail = this.#tail.slice(taken.length)
    this.#tailBytes -= bytes
    return taken.length === 1 ? (taken[0] as Uint8Array) : Buffer.concat(taken, bytes)
  }

  #write(): void {
    if (this.#writing !== undefined || this.#full || this.#closed || this.#tail.length === 0) return
    const batch = Buffer.concat(this.#tail, this.#tailBytes)
    this.#tail = []
    this.#tailBytes = 0
    this.#writingBytes = batch.length
    this.#writing = this.#writeBatch(batch).then(() => {
      this.#writing = undefined
      this.#options.onRoom()
      this.#write()
    })
  }

  async #writeBatch(batch: Uint8Array): Promise<void> {
    const { budget, limitBytes, open } = this.#options
    let reason: string | undefined
    if (this.#writtenTo + batch.length > limitBytes) reason = `more than ${limitBytes} bytes are unread`
    else if (!budget.take(batch.length)) reason = 'unread results take all the room that they may have'
    else {
      try {
        this.#file ??= await open()
        await this.#file.write(this.#writtenTo, batch)
      } catch (error) {
        budget.give(batch.length)
        reason = error instanceof Error ? error.message : String(error)
      }
    }
    this.#writingBytes = 0
    if (reason === undefined) {
      this.#writtenTo += batch.length
      return
    }
    this.#full = true
    if (this.#closed) return
    this.#tail.unshift(batch)
    this.#tailBytes += batch.length
    this.#options.onFull(reason)
  }
}
