/**
 * The newest WAL segment of a mirror, which PostgreSQL replays while it is still being received.
 *
 * PostgreSQL restores whole segment files and believes that what it restored is all there: a page of zeros ends recovery. So it is given a
 * file of full size that holds what was received so far, and each read of a page that is not there yet waits, on the engine thread, until
 * the walreceiver has made it durable. Replay is then less than a page behind, not a segment, which is what a promotion still has to do.
 *
 * Made by `RestoreWal` when PostgreSQL asks for a segment of which only a part is received; ends when it is whole, or with the thread. After
 * `promote` no read waits any more, and everything behind the received end reads as zeros.
 */
import { closeSync, existsSync, ftruncateSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import type { Lsn } from '@mirabelle/messages'
import type { SegmentName } from '../layout.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'

export interface LiveSegmentOptions {
  readonly name: string
  readonly segment: SegmentName
  readonly segmentBytes: number
  /** The walreceiver's file. */
  readonly received: string
  /** Where the bytes lie that are here already: the walreceiver's file, or PostgreSQL's own. */
  readonly source: string
  /** The file that PostgreSQL gets. It may rename it. */
  readonly target: string
  readonly state: SharedState
  /** Called before the thread blocks. */
  readonly waiting: () => void
}

export class LiveSegment {
  readonly name: string
  readonly #options: LiveSegmentOptions
  readonly #target: number
  readonly #end: Lsn
  /** Bytes before it are in the target. */
  #have: Lsn

  /** Makes the target, durable, with what is received up to `receivedEnd`; zeros behind it. */
  constructor(options: LiveSegmentOptions, receivedEnd: Lsn) {
    const { segment, segmentBytes } = options
    this.name = options.name
    this.#options = options
    this.#end = segment.start + segmentBytes
    this.#have = segment.start
    this.#target = openSync(options.target, 'w', 0o600)
    ftruncateSync(this.#target, segmentBytes)
    this.#copy(options.source, receivedEnd)
    fsyncSync(this.#target)
  }

  /** True when nothing of it is still to come. */
  get whole(): boolean {
    return this.#have === this.#end
  }

  /** Returns when the page or pages of [position, position + length) are there, or never will be. */
  await(position: number, length: number): void {
    const { segment, state, received, waiting } = this.#options
    const wanted = Math.min(segment.start + position + length, this.#end)
    while (this.#have < wanted) {
      const signal = state.get(Field.walSignal)
      const promoting = state.get(Field.promote) === 1
      const known = state.received()
      const end = segment.timeline < known.timeline ? this.#end : Math.min(known.end, this.#end)
      if (end > this.#have) this.#copy(existsSync(received) ? received : this.#options.source, end)
      else if (promoting) return
      else {
        waiting()
        state.waitWhile(Field.walSignal, signal)
      }
    }
  }

  close(): void {
    closeSync(this.#target)
  }

  #copy(from: string, end: Lsn): void {
    const { start } = this.#options.segment
    const bytes = Buffer.allocUnsafe(end - this.#have)
    const source = openSync(from, 'r')
    try {
      let got = 0
      while (got < bytes.length) {
        const read = readSync(source, bytes, got, bytes.length - got, this.#have - start + got)
        if (read === 0)
          throw new Error(`${from} has ${this.#have - start + got} bytes, ${end - start} were announced`)
        got += read
      }
    } finally {
      closeSync(source)
    }
    let put = 0
    while (put < bytes.length)
      put += writeSync(this.#target, bytes, put, bytes.length - put, this.#have - start + put)
    this.#have = end
  }
}
