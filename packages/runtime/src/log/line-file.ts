/**
 * Where log lines go: a file or a descriptor, written in the background with one write at a time, so that a slow disk or
 * terminal never holds the main thread. Bounded twice: lines that wait (beyond it lines are dropped and counted) and the file (at
 * its limit it becomes `<file>.1` and a new one begins). Lives as long as the process; failing to write never ends it.
 */
import { close, existsSync, fstatSync, mkdirSync, open, openSync, rename, write, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Lines that wait to be written, bytes. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** One write, bytes; a file goes over its limit by no more than this. */
const WRITE_BYTES = 64 * 1024
/** Pause after a write that failed or could not be taken (a full pipe). */
const RETRY_MS = 100
const MODE = 0o600

export class LineFile {
  readonly #path: string | undefined
  readonly #maxBytes: number
  #fd: number
  #fileBytes = 0
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #busy = false
  #dropped = 0

  /** Opens the file (its folders are made), or takes standard output when there is no path. */
  constructor(path: string | undefined, maxBytes: number) {
    this.#path = path
    this.#maxBytes = maxBytes
    if (path === undefined) {
      this.#fd = 1
      return
    }
    if (!existsSync(dirname(path))) mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#fd = openSync(path, 'a', MODE)
    this.#fileBytes = fstatSync(this.#fd).size
  }

  /** Queues a line. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      this.#dropped++
      return
    }
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#busy) return
    this.#busy = true
    setImmediate(() => this.#next())
  }

  /** Writes what waits, synchronously, as far as it can be; for the end of the process. */
  flush(): void {
    const rest = this.#take(Number.POSITIVE_INFINITY)
    try {
      for (let at = 0; at < rest.length;) at += writeSync(this.#fd, rest, at)
    } catch {
      // Nowhere is left to say that the log cannot be written.
    }
  }

  #next(): void {
    if (this.#waiting.length === 0) {
      this.#busy = false
      return
    }
    if (this.#path !== undefined && this.#fileBytes >= this.#maxBytes) this.#rotate(this.#path)
    else this.#put(this.#take(WRITE_BYTES))
  }

  #put(bytes: Buffer): void {
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      const rest = error === null ? bytes.subarray(written) : bytes
      if (error === null) this.#fileBytes += written
      if (rest.length > 0) {
        this.#waiting.unshift(rest)
        this.#waitingBytes += rest.length
      }
      if (error === null) this.#next()
      else setTimeout(() => this.#next(), RETRY_MS).unref()
    })
  }

  #rotate(path: string): void {
    this.#fileBytes = 0
    rename(path, `${path}.1`, () => {
      open(path, 'a', MODE, (error, fd) => {
        if (error === null) {
          close(this.#fd, () => undefined)
          this.#fd = fd
        }
        this.#next()
      })
    })
  }

  /** Takes whole lines, at least one and about `limit` bytes at most. */
  #take(limit: number): Buffer {
    if (this.#dropped > 0) {
      this.#waiting.push(
        Buffer.from(`{"level":"warn","dropped":${this.#dropped},"msg":"log lines were dropped"}\n`),
      )
      this.#dropped = 0
    }
    let lines = 0
    for (let bytes = 0; lines < this.#waiting.length && bytes < limit; lines++)
      bytes += (this.#waiting[lines] as Buffer).length
    const taken = Buffer.concat(this.#waiting.splice(0, lines))
    this.#waitingBytes = Math.max(0, this.#waitingBytes - taken.length)
    return taken
  }
}
