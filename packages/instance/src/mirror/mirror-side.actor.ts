/**
 * What an instance does as mirror: receives WAL (walreceiver) and lets its PostgreSQL replay it.
 *
 * Made by the instance actor for a start as mirror; ends with `takeOver` (promotion) or `close`. Promises: the engine is told of WAL only
 * after it is checked and durable; a new timeline of the primary restarts replay, because PostgreSQL looks for the newest timeline
 * only when recovery starts; the mirror keeps working while its primary is away.
 */
import type { EnginePort, EngineStarted } from '@mirabelle/engine'
import {
  formatLsn,
  type Lsn,
  type MirabelleError,
  type Peer,
  type Settings,
  type Timeline,
} from '@mirabelle/messages'
import type { Logger, Ports } from '@mirabelle/runtime'
import type { WalIdentity, WalReceiver, WalReceiverState, WalReceiverStopped } from '@mirabelle/wal'
import type { WalParts } from '../instance-options.ts'
import { SLOT_NAME } from '../maintenance/slot.ts'
import type { BaseChange, BaseRefresh, RefreshedMirror } from '../refresh/base-refresh.actor.ts'
import type { DurableState } from '../state/durable-state.ts'
import type { WalEnd } from './wal-end.ts'

/** How long the first start waits for the primary to tell its timeline, ms. */
const FIRST_WORD_MS = 500

export interface MirrorSideOptions {
  readonly ports: Ports
  readonly log: Logger
  readonly engine: EnginePort
  readonly wal: WalParts
  readonly state: DurableState
  readonly identity: WalIdentity & { readonly systemIdentifier: string }
  readonly walDir: string
  /** Folder of WAL that PostgreSQL wrote itself. */
  readonly ownWal: string
  /** Where the checked WAL of the folder ends. */
  readonly end: WalEnd
  /** undefined: nobody to receive from (a promotion is all that can come). */
  readonly peer: Peer | undefined
  readonly settings: () => Settings
  /** Makes what keeps the base young; undefined where the engine is no PostgreSQL. */
  readonly refresh?: (mirror: RefreshedMirror) => BaseRefresh
  /** Replay was restarted on a newer timeline. */
  readonly onTimeline: (timeline: Timeline) => void
  /** The walreceiver gave up for good: diverged, removed, foreign, broken. */
  readonly onUnfit: (state: WalReceiverState, reason: MirabelleError) => void
  readonly onFatal: (error: unknown) => void
}

export class MirrorSide implements RefreshedMirror {
  readonly #options: MirrorSideOptions
  readonly #refresh: BaseRefresh | undefined
  #receiver: WalReceiver | undefined
  #timeline: Timeline
  #flushLsn: Lsn
  /** The timeline in whose received files everything up to `#flushLsn` lies; 0 while some of it lies in PostgreSQL's own. */
  #ownTimeline: Timeline = 0
  #baseLsn: Lsn = 0
  #running = false
  #closed = false
  /** The receiver cannot go on from this folder, and the owner was told. */
  #unfit = false
  /** PostgreSQL was told a timeline: another one needs it to start again. */
  #begun = false
  #heard: () => void = () => undefined
  /** Starts and stops of the engine, one after the other. */
  #engineWork: Promise<void> = Promise.resolve()

  constructor(options: MirrorSideOptions) {
    this.#options = options
    this.#timeline = options.end.timeline
    this.#flushLsn = options.end.receivedEnd
    this.#refresh = options.refresh?.(this)
  }

  get timeline(): Timeline {
    return this.#timeline
  }
  /** Checked and durable. */
  get flushLsn(): Lsn {
    return this.#flushLsn
  }
  get ownTimeline(): Timeline {
    return this.#ownTimeline
  }
  /** Where replay of the base begins; 0 while it is not known. */
  get baseLsn(): Lsn {
    return this.#baseLsn
  }
  /** What is done about the base. */
  get refresh(): Pick<BaseRefresh, 'doing' | 'refreshedAt'> | undefined {
    return this.#refresh
  }
  get receiver(): WalReceiver | undefined {
    return this.#receiver
  }
  get replayLsn(): Lsn {
    return this.#running ? this.#options.engine.replayLsn() : 0
  }

  /**
   * Starts receiving and replaying. Resolves when PostgreSQL replays or waits for WAL; with undefined when that would be for nothing, because the folder
   * cannot follow its primary (`onUnfit` was called) or this side is closed.
   */
  async start(): Promise<EngineStarted | undefined> {
    const heard = this.#firstWord()
    this.#startReceiver()
    let started: EngineStarted | undefined
    await this.#withEngine(async () => {
      await heard
      if (!this.#unfit && !this.#closed) started = await this.#startEngine()
    })
    return started
  }

  /** Resolves when the receiver knows the primary's timeline, or that it cannot be asked now: a start on the old one would be for nothing. */
  #firstWord(): Promise<void> {
    const { ports, peer } = this.#options
    if (peer === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = ports.clock.setTimer(FIRST_WORD_MS, resolve)
      this.#heard = () => {
        timer.clear()
        resolve()
      }
    })
  }

  setPeer(peer: Peer): void {
    this.#receiver?.setPeer(peer)
  }

  /** Promotion: no more WAL is taken, recovery ends at the last valid record, PostgreSQL opens for writing. */
  async takeOver(): Promise<{
    readonly started: EngineStarted
    readonly received: WalReceiverStopped | undefined
    /** Recovery has to reach it: what was received, by this process or an earlier one. */
    readonly end: Lsn
  }> {
    // Not waited for: a switch of bases that is under way is in the queue of the engine, all else can be left.
    void this.#refresh?.stop()
    this.#heard()
    const received = await this.#receiver?.stop()
    let started: EngineStarted | undefined
    await this.#withEngine(async () => {
      if (received !== undefined) this.#options.engine.walArrived(received.timeline, received.receivedEnd)
      started = await this.#options.engine.promote()
      this.#running = false
      this.#closed = true
    })
    return {
      started: started as unknown as EngineStarted,
      received,
      end: received?.receivedEnd ?? this.#flushLsn,
    }
  }

  /** Ends receiving; the engine stays with the owner. */
  async close(): Promise<void> {
    this.#closed = true
    this.#heard()
    const refreshed = this.#refresh?.stop()
    await this.#receiver?.stop()
    await this.#engineWork.catch(() => undefined)
    await refreshed
    this.#running = false
  }

  /** Receiving goes on meanwhile. Rejects when PostgreSQL did not start on the new base; it replays on the old one then. */
  async replaceBase(change: BaseChange): Promise<boolean> {
    let replaced = false
    await this.#withEngine(async () => {
      if (this.#closed || !this.#running || !change.fits()) return
      this.#running = false
      await this.#options.engine.stop('immediate')
      await this.#startOnNextBase(change)
      replaced = true
    })
    return replaced
  }

  async #startOnNextBase(change: BaseChange): Promise<void> {
    let isInPlace = false
    try {
      await change.forward()
      isInPlace = true
      await this.#startEngine()
    } catch (error) {
      // Who closes this side stops the engine, in the middle of a start too; what is in place then is whole.
      if (this.#closed) throw error
      this.#options.log.error({ err: error }, 'PostgreSQL did not start on a new base: back to the old one')
      try {
        if (isInPlace) await change.back()
        await this.#startEngine()
      } catch (fatal) {
        this.#options.onFatal(fatal)
        throw fatal
      }
      throw error
    }
  }

  #startReceiver(): void {
    const options = this.#options
    if (options.peer === undefined) return
    this.#receiver = options.wal.createReceiver({
      ports: { ...options.ports, log: options.log },
      identity: options.identity,
      peer: options.peer,
      walDir: options.walDir,
      ownWal: options.ownWal,
      start: { timeline: options.end.timeline, receivedEnd: options.end.receivedEnd },
      slot: SLOT_NAME,
      epoch: () => options.state.epoch,
      replayLsn: () => this.replayLsn,
      settings: options.settings,
      onFlushed: (timeline, lsn) => this.#arrived(timeline, lsn),
      onTimeline: (timeline) => this.#follow(timeline),
      onState: (state, reason) => this.#receiverState(state, reason),
    })
  }

  #arrived(timeline: Timeline, lsn: Lsn): void {
    this.#flushLsn = lsn
    this.#ownTimeline = timeline
    if (this.#running && timeline === this.#timeline) this.#options.engine.walArrived(timeline, lsn)
    this.#refresh?.look()
  }

  #receiverState(state: WalReceiverState, reason: MirabelleError | null): void {
    this.#options.log.debug({ to: state, reason: reason?.message ?? '' }, 'walreceiver')
    const unfit = state === 'diverged' || state === 'removed' || state === 'foreign' || state === 'broken'
    if (unfit) this.#unfit = true
    if (state === 'streaming' || reason !== null) this.#heard()
    if (unfit && reason !== null && !this.#closed) this.#options.onUnfit(state, reason)
  }

  /** The primary is on a newer timeline: replay has to be restarted to follow it. */
  #follow(timeline: Timeline): void {
    if (timeline <= this.#timeline) return
    this.#timeline = timeline
    if (!this.#begun) return this.#heard()
    // From now on arrivals are only remembered: the engine is told of them when it replays the new timeline.
    this.#running = false
    void this.#withEngine(async () => {
      if (this.#closed) return
      await this.#options.engine.stop('immediate')
      await this.#startEngine()
      this.#options.onTimeline(this.#timeline)
    }).catch((error: unknown) => {
      // Who closes this side stops the engine, in the middle of a start too.
      if (!this.#closed) this.#options.onFatal(error)
    })
  }

  async #startEngine(): Promise<EngineStarted> {
    const { engine, log } = this.#options
    const timeline = this.#timeline
    this.#begun = true
    const started = await engine.startMirror({ timeline, receivedEnd: this.#flushLsn })
    this.#running = true
    this.#baseLsn = started.baseLsn ?? 0
    if (this.#ownTimeline === timeline) engine.walArrived(timeline, this.#flushLsn)
    log.info(
      { timeline, lsn: formatLsn(started.lsn), received: formatLsn(this.#flushLsn) },
      'replay has begun',
    )
    this.#refresh?.look()
    return started
  }

  #withEngine(work: () => Promise<void>): Promise<void> {
    const done = this.#engineWork.then(work)
    this.#engineWork = done.catch(() => undefined)
    return done
  }
}
