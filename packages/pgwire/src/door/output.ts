/**
 * What waits to be written to one socket. Made by a connection, ends with it.
 *
 * Promises: everything sent in one tick leaves in one write; at most one window is in the hands of the socket, so that
 * "nothing was written for a while" can be seen; who awaits `drained()` is woken when there is room or when it is over. For a client that is
 * slower than its answer there is room in a file: whoever makes the answer has a segment's only backend in its hands, and others wait for that.
 */
import type { Duplex } from 'node:stream'
import type { DoorClock, DoorTimer } from './front-door-types.ts'
import type { Spill, SpillOptions } from './spill.ts'

/** Bytes that are given to the socket at a time. */
const WINDOW_BYTES = 256 * 1024
/** Buffers above this are written by themselves rather than copied together with others. */
const COPY_BYTES = 32 * 1024
/** A client is slow when there was somebody waiting for it, and unread output all along, for so long, ms. */
export const SLOW_MS = 200

export interface OutputOptions {
  readonly clock: DoorClock
  readonly highWaterBytes: number
  /** 0 turns the watch off. */
  readonly stallTimeoutMs: number
  /** The client has read nothing for the whole timeout although somebody waits for it. */
  readonly onStalled: () => void
  /** Makes the file for what a slow client has not read; without it whoever makes an answer waits for the client. */
  readonly spill?: (options: Pick<SpillOptions, 'onRoom'>) => Spill
  /** Output that was in the file cannot be read any more: the rest must not be sent. */
  readonly onLost?: (error: unknown) => void
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
  #slowTimer: DoorTimer | undefined
  #slow = false
  /** Everything behind `#queue`. */
  #spill: Spill | undefined
  #taking = false

  constructor(socket: Duplex, options: OutputOptions) {
    this.#socket = socket
    this.#options = options
  }

  /** In memory. */
  get bufferedBytes(): number {
    return this.#queuedBytes + this.#socket.writableLength + (this.#spill?.memoryBytes ?? 0)
  }

  get full(): boolean {
    return !this.#closed && !this.#ending && this.bufferedBytes >= this.#options.highWaterBytes
  }

  /** Sends at the end of this tick. After `end()` or `close()` it does nothing. */
  send(bytes: Uint8Array): void {
    if (this.#closed || this.#ending || bytes.length === 0) return
    if (this.#spill !== undefined) return this.#spill.append(bytes)
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#onTick)
  }

  /** Resolves when less than the high-water mark is in memory, or when the output is closed. */
  drained(): Promise<void> {
    if (!this.full) return Promise.resolve()
    this.#watch()
    const room = new Promise<void>((resolve) => this.#waiters.push(resolve))
    this.#mindSlow()
    return room
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
    this.#isFast()
    this.#dropSpill()
    this.#unwatch()
    this.#wake()
  }

  readonly #onTick = (): void => {
    this.#scheduled = false
    this.#write()
  }

  readonly #onWritten = (): void => {
    this.#writesDone += 1
    if (this.#queue.length > 0 || this.#ending || this.#spill !== undefined) this.#write()
    if (this.bufferedBytes === 0) this.#isFast()
    this.#wakeIfRoom()
  }

  readonly #wakeIfRoom = (): void => {
    if (this.full || this.#waiters.length === 0) return
    this.#unwatch()
    this.#wake()
  }

  #write(): void {
    if (this.#closed) return
    while (this.#queue.length > 0 && this.#socket.writableLength < WINDOW_BYTES) {
      const batch = this.#nextBatch()
      this.#queuedBytes -= batch.length
      this.#socket.write(batch, this.#onWritten)
    }
    if (this.#spill !== undefined) this.#takeFromSpill(this.#spill)
    else if (this.#ending && this.#queue.length === 0 && !this.#socket.writableEnded) this.#socket.end()
  }

  // What a slow client has not read

  /** Somebody waits. */
  #mindSlow(): void {
    if (this.#options.spill === undefined || this.#spill !== undefined) return
    if (this.#slow) return this.#beginSpill()
    this.#slowTimer ??= this.#options.clock.setTimer(SLOW_MS, () => {
      this.#slowTimer = undefined
      this.#slow = true
      if (this.#waiters.length > 0 && this.full) this.#beginSpill()
    })
  }

  /** It has read all there is. */
  #isFast(): void {
    this.#slow = false
    this.#slowTimer?.clear()
    this.#slowTimer = undefined
  }

  #beginSpill(): void {
    const spill = this.#options.spill?.({ onRoom: this.#wakeIfRoom })
    if (spill === undefined) return
    this.#spill = spill
    for (const bytes of this.#queue) spill.append(bytes)
    this.#queue = []
    this.#queuedBytes = 0
  }

  #takeFromSpill(spill: Spill): void {
    if (this.#taking || this.#socket.writableLength >= WINDOW_BYTES) return
    this.#taking = true
    spill.take(WINDOW_BYTES).then(
      (bytes) => {
        this.#taking = false
        if (this.#closed) return
        if (bytes.length > 0) {
          this.#queue.push(bytes)
          this.#queuedBytes += bytes.length
        }
        if (spill.bytes === 0) this.#dropSpill()
        this.#write()
        this.#wakeIfRoom()
      },
      (error: unknown) => {
        this.#taking = false
        if (!this.#closed) this.#options.onLost?.(error)
      },
    )
  }

  #dropSpill(): void {
    // A file that cannot be closed is gone all the same: nothing in it is needed.
    void this.#spill?.close().catch(() => undefined)
    this.#spill = undefined
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
