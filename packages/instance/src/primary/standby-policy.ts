/**
 * The coordinator waits for its standby only while that is connected and streaming (replication §2: availability first), and never
 * goes on without it before that is recorded with the segments: a standby that lacks changes must not be activated unnoticed.
 *
 * Started with the primary side of content -1, ended with it. Promise: commits stop waiting only after the mark `stale` is durable;
 * the mark is taken back only after the standby has flushed everything that anybody was told of.
 */
import type { Clock, Logger, Timer } from '@mirabelle/runtime'
import type { MirrorStatus } from '@mirabelle/wal'
import type { CommitGate } from '../gate/commit-gate.ts'

/** How long a coordinator that has just started waits for its standby to connect, ms. */
const START_GRACE_MS = 1_000
/** Between attempts to record the mark, ms. */
const MARK_RETRY_MS = 200
/** How often a standby that streams is looked at until it has caught up, ms. */
const CAUGHT_UP_POLL_MS = 50

export interface StandbyPolicyOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly gate: CommitGate
  readonly mirror: () => MirrorStatus
  /** dbid of the standby, or null when the catalog has none. */
  readonly standbyDbid: () => number | null
  readonly mark: (stale: boolean) => Promise<void>
}

export class StandbyPolicy {
  readonly #options: StandbyPolicyOptions
  readonly #startedAt: number
  /** What is recorded with the segments; undefined = not known yet. */
  #marked: boolean | undefined
  #marking = false
  #timer: Timer | undefined
  #stopped = false

  constructor(options: StandbyPolicyOptions) {
    this.#options = options
    this.#startedAt = options.clock.monotonic()
    this.evaluate()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  /** Looks at the standby again: its stream changed, or the catalog did. */
  evaluate(): void {
    if (this.#stopped || this.#marking) return
    const { gate, clock } = this.#options
    const standbyDbid = this.#options.standbyDbid()
    if (standbyDbid === null) {
      // The next standby is another one: what was recorded says nothing of it.
      this.#marked = undefined
      if (gate.syncRep) gate.setSyncRep(false)
      return
    }
    const mirror = this.#options.mirror()
    if (mirror.dbid === standbyDbid && mirror.state === 'streaming') {
      if (!gate.syncRep) gate.setSyncRep(true)
      if (this.#marked === false) return
      if (mirror.flushLsn >= gate.releasedLsn) this.#mark(false)
      else this.#again(CAUGHT_UP_POLL_MS)
      return
    }
    if (!gate.syncRep && this.#marked === true) return
    const graceLeftMs = this.#startedAt + START_GRACE_MS - clock.monotonic()
    if (this.#marked === undefined && graceLeftMs > 0) this.#again(graceLeftMs)
    else this.#mark(true)
  }

  #mark(stale: boolean): void {
    if (stale && this.#marked === true) {
      this.#options.gate.setSyncRep(false)
      return
    }
    this.#marking = true
    this.#options.mark(stale).then(
      () => {
        this.#marking = false
        this.#marked = stale
        if (this.#stopped) return
        this.#options.log.info(
          { stale },
          stale
            ? 'the standby is gone: recorded, commits go on without it'
            : 'the standby has all of the WAL: recorded, commits wait for it',
        )
        this.#afterMark(stale)
      },
      (error: unknown) => {
        this.#marking = false
        this.#options.log.warn({ err: error, stale }, 'the state of the standby could not be recorded')
        this.#again(MARK_RETRY_MS)
      },
    )
  }

  #afterMark(stale: boolean): void {
    const mirror = this.#options.mirror()
    const back = mirror.dbid === this.#options.standbyDbid() && mirror.state === 'streaming'
    // It may have come back while the mark was written: then commits go on waiting, and the mark is taken back.
    if (stale && !back) this.#options.gate.setSyncRep(false)
    this.evaluate()
  }

  #again(ms: number): void {
    if (this.#stopped) return
    this.#timer?.clear()
    this.#timer = this.#options.clock.setTimer(ms, () => this.evaluate())
  }
}
