/**
 * What one connection still has to send. Everything queued in one turn of the event loop leaves in one write; while the
 * operating system does not take it, it counts as buffered, up to a limit.
 */
import type { Duplex } from 'node:stream'
import { MirabelleError } from '@mirabelle/messages'
import type { Clock } from '../ports/clock.ts'

/** Below so many bytes `drained()` resolves. */
export const LOW_WATER_BYTES = 1024 * 1024
/** Parts up to this size are copied together: cheaper than an entry each in a vectored write. */
const SMALL_BYTES = 4096

export class WriteQueue {
  readonly #socket: Duplex
  readonly #clock: Clock
  readonly #maxBytes: number
  #parts: Uint8Array[] = []
  #queuedBytes = 0
  #inFlightBytes = 0
  #scheduled = false
  #closed = false
  #held = false
  #waiters: (() => void)[] = []
  /** True when something was sent since the flag was last cleared (saves a heartbeat). */
  wrote = false

  constructor(socket: Duplex, clock: Clock, maxBytes: number) {
    this.#socket = socket
    this.#clock = clock
    this.#maxBytes = maxBytes
  }

  /** Bytes queued and not yet taken by the operating system. */
  get bufferedBytes(): number {
    return this.#queuedBytes + this.#inFlightBytes
  }

  /** Queues the parts of one frame. Throws `queue.full` beyond the limit; nothing is queued then. */
  push(parts: readonly Uint8Array[]): void {
    if (this.#closed) return
    let bytes = 0
    for (const part of parts) bytes += part.length
    if (this.bufferedBytes + bytes > this.#maxBytes)
      throw new MirabelleError(
        'queue.full',
        `the peer does not take what is sent: ${this.bufferedBytes} bytes wait, the limit is ${this.#maxBytes}`,
      )
    this.#parts.push(...parts)
    this.#queuedBytes += bytes
    if (this.#scheduled || this.#held) return
    this.#scheduled = true
    this.#clock.soon(() => this.flush())
  }

  /** Keeps what is pushed until `release()`. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
    this.flush()
  }

  /** Hands everything queued to the socket in one write. */
  flush(): void {
    this.#scheduled = false
    if (this.#parts.length === 0 || this.#closed || this.#held) return
    const bytes = this.#queuedBytes
    const parts = coalesce(this.#parts)
    this.#parts = []
    this.#queuedBytes = 0
    this.#inFlightBytes += bytes
    this.wrote = true
    const written = (): void => this.#taken(bytes)
    const last = parts.length - 1
    if (last === 0) {
      this.#socket.write(parts[0] as Uint8Array, written)
      return
    }
    this.#socket.cork()
    parts.forEach((part, i) => this.#socket.write(part, i === last ? written : undefined))
    this.#socket.uncork()
  }

  /** Resolves when less than the low-water mark is buffered, or after `close()`. */
  drained(): Promise<void> {
    if (this.#closed || this.bufferedBytes < LOW_WATER_BYTES) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Drops what is queued; nothing is taken any more. */
  close(): void {
    this.#closed = true
    this.#parts = []
    this.#queuedBytes = 0
    this.#inFlightBytes = 0
    this.#wake()
  }

  #taken(bytes: number): void {
    if (this.#closed) return
    this.#inFlightBytes -= bytes
    if (this.bufferedBytes < LOW_WATER_BYTES) this.#wake()
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }
}

/** Copies runs of small parts together; large ones stay as they are. */
function coalesce(parts: readonly Uint8Array[]): Uint8Array[] {
  if (parts.length === 1) return [parts[0] as Uint8Array]
  const joined: Uint8Array[] = []
  let run: Uint8Array[] = []
  const endRun = (): void => {
    if (run.length > 0) joined.push(run.length === 1 ? (run[0] as Uint8Array) : Buffer.concat(run))
    run = []
  }
  for (const part of parts) {
    if (part.length <= SMALL_BYTES) {
      run.push(part)
      continue
    }
    endRun()
    joined.push(part)
  }
  endRun()
  return joined
}
