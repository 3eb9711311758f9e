/**
 * What waits to be written to one socket. Made by a connection, ends with it.
 *
 * Promises: everything sent in one tick leaves in one write; at most one window is in the hands of the socket, so that
 * "nothing was written for a while" can be seen; who awaits `drained()` is woken when there is room or when it is over.
 */
import type { Duplex } from 'node:stream'
import type { DoorClock, DoorTimer } from './front-door-types.ts'

/** Bytes that are given to the socket at a time. */
const WINDOW_BYTES = 256 * 1024
/** Buffers above this are written by themselves rather than copied together with others. */
const COPY_BYTES = 32 * 1024

export interface OutputOptions {
  readonly clock: DoorClock
  readonly highWaterBytes: number
  /** 0 turns the watch off. */
  readonly stallTimeoutMs: number
  /** The client has read nothing for the whole timeout although somebody waits for it. */
  readonly onStalled: () => void
}

export class Output {
  readonly #socket: Duplex
  readonly #options: OutputOptions
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #scheduled = false
  #ending = false
  #closed = false
  #waiters: (() => void)[] = []
  #writesDone = 0
  #stallTimer: DoorTimer | undefined

  constructor(socket: Duplex, options: OutputOptions) {
    this.#socket = socket
    this.#options = options
  }

  get bufferedBytes(): number {
    return this.#queuedBytes + this.#socket.writableLength
  }

  get full(): boolean {
    return !this.#closed && !this.#ending && this.bufferedBytes >= this.#options.highWaterBytes
  }

  /** Sends at the end of this tick. After `end()` or `close()` it does nothing. */
  send(bytes: Uint8Array): void {
    if (this.#closed || this.#ending || bytes.length === 0) return
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#onTick)
  }

  /** Resolves when less than the high-water mark is buffered, or when the output is closed. */
  drained(): Promise<void> {
    if (!this.full) return Promise.resolve()
    this.#watch()
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Writes what is there, then ends the stream. Who waits is woken: nothing sent from here on will arrive. */
  end(): void {
    if (this.#closed || this.#ending) return
    this.#ending = true
    this.#write()
    this.#unwatch()
    this.#wake()
  }

  /** Forgets what was not written and wakes everyone who waits. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#unwatch()
    this.#wake()
  }

  readonly #onTick = (): void => {
    this.#scheduled = false
    this.#write()
  }

  readonly #onWritten = (): void => {
    this.#writesDone += 1
    if (this.#queue.length > 0 || this.#ending) this.#write()
    if (!this.full && this.#waiters.length > 0) {
      this.#unwatch()
      this.#wake()
    }
  }

  #write(): void {
    if (this.#closed) return
    while (this.#queue.length > 0 && this.#socket.writableLength < WINDOW_BYTES) {
      const batch = this.#nextBatch()
      this.#queuedBytes -= batch.length
      this.#socket.write(batch, this.#onWritten)
    }
    if (this.#ending && this.#queue.length === 0 && !this.#socket.writableEnded) this.#socket.end()
  }

  /** One buffer to write: a slice of a large one, or as many small ones as fit, copied together. */
  #nextBatch(): Uint8Array {
    const queue = this.#queue
    const first = queue[0]!
    if (first.length > WINDOW_BYTES) {
      queue[0] = first.subarray(WINDOW_BYTES)
      return first.subarray(0, WINDOW_BYTES)
    }
    let count = 1
    let bytes = first.length
    if (bytes <= COPY_BYTES) {
      while (
        count < queue.length &&
        queue[count]!.length <= COPY_BYTES &&
        bytes + queue[count]!.length <= WINDOW_BYTES
      ) {
        bytes += queue[count]!.length
        count += 1
      }
    }
    if (count === queue.length) this.#queue = []
    const batch = count === queue.length ? queue : queue.splice(0, count)
    return count === 1 ? first : Buffer.concat(batch, bytes)
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  #watch(): void {
    if (this.#stallTimer !== undefined || this.#options.stallTimeoutMs === 0) return
    const before = this.#writesDone
    this.#stallTimer = this.#options.clock.setTimer(this.#options.stallTimeoutMs, () => {
      this.#stallTimer = undefined
      if (this.#closed || this.#waiters.length === 0) return
      if (this.#writesDone === before) this.#options.onStalled()
      else this.#watch()
    })
  }

  #unwatch(): void {
    this.#stallTimer?.clear()
    this.#stallTimer = undefined
  }
}
