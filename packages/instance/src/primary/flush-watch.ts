/**
 * Ends a stream whose mirror goes on talking but makes nothing durable that an answer waits for (I10): its disk hangs, or it waits for the rest of a record
 * whose length was damaged on the way. The mirror then comes again and fetches what it lacks, or it does not, and is recorded down: also when it comes,
 * again and again, and takes in nothing.
 *
 * Started with the primary side, ended with it. Looks only while answers wait at the gate; a mirror that is slow but advances is left alone.
 */
import { formatLsn, MirabelleError, type Dbid, type Lsn } from '@mirabelle/messages'
import type { Clock, Timer } from '@mirabelle/runtime'
import type { MirrorStatus } from '@mirabelle/wal'
import type { CommitGate } from '../gate/commit-gate.ts'

/** Looks in one `wal_sender_timeout`. */
const LOOKS = 4

export interface FlushWatchOptions {
  readonly clock: Clock
  readonly gate: CommitGate
  readonly mirror: () => MirrorStatus
  /** `wal_sender_timeout`, ms. */
  readonly timeoutMs: () => number
  readonly disconnect: (reason: MirabelleError, dbid: Dbid) => void
}

export class FlushWatch {
  readonly #options: FlushWatchOptions
  #timer: Timer | undefined
  #stopped = false
  /** What the mirror had when it was last seen to advance, or when nothing waited for it. */
  #flushLsn: Lsn = 0
  #sinceMs = 0
  #lookedMs = 0
  /** The mirror whose stream was ended and that has made nothing durable since. */
  #stalled: { readonly dbid: Dbid; readonly flushLsn: Lsn; readonly sinceMs: number } | undefined

  constructor(options: FlushWatchOptions) {
    this.#options = options
    options.gate.onWaiting = () => this.#begin()
    if (options.gate.waiting > 0) this.#begin()
  }

  /** Monotonic ms when the stream was first ended of a mirror that has made nothing durable since; null when there is none. */
  get stalledSince(): number | null {
    const { dbid, flushLsn } = this.#options.mirror()
    if (this.#stalled?.dbid !== dbid || flushLsn > this.#stalled.flushLsn) this.#stalled = undefined
    return this.#stalled?.sinceMs ?? null
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  /** Somebody waits, after a time in which nobody did. */
  #begin(): void {
    if (this.#stopped || this.#timer !== undefined) return
    this.#flushLsn = this.#options.mirror().flushLsn
    this.#sinceMs = this.#lookedMs = this.#options.clock.monotonic()
    this.#later()
  }

  #later(): void {
    this.#timer = this.#options.clock.setTimer(this.#options.timeoutMs() / LOOKS, () => {
      this.#timer = undefined
      this.#look()
      if (!this.#stopped && this.#options.gate.waiting > 0) this.#later()
    })
  }

  #look(): void {
    const { clock, gate } = this.#options
    const now = clock.monotonic()
    const timeoutMs = this.#options.timeoutMs()
    // When this process itself was held up, what the mirror said meanwhile has not been read yet.
    const heldUp = now - this.#lookedMs > timeoutMs / 2
    this.#lookedMs = now
    const wanted = gate.syncRep ? gate.nextLsn : undefined
    const mirror = this.#options.mirror()
    const connected = mirror.state === 'catchup' || mirror.state === 'streaming'
    const stuck = connected && wanted !== undefined && wanted > gate.mirrorLsn && wanted <= gate.localLsn
    if (!stuck || heldUp || mirror.flushLsn !== this.#flushLsn) {
      this.#flushLsn = mirror.flushLsn
      this.#sinceMs = now
      return
    }
    const forMs = now - this.#sinceMs
    if (forMs < timeoutMs) return
    this.#sinceMs = now
    if (this.stalledSince === null)
      this.#stalled = { dbid: mirror.dbid, flushLsn: mirror.flushLsn, sinceMs: now }
    this.#options.disconnect(
      new MirabelleError(
        'connection.silent',
        `dbid ${mirror.dbid} has made nothing durable beyond ${formatLsn(mirror.flushLsn)} for ${Math.round(forMs)} ms while an answer waits for ${formatLsn(wanted)} (wal_sender_timeout ${timeoutMs} ms)`,
      ),
      mirror.dbid,
    )
  }
}
