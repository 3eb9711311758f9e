/**
 * Keeps a mirror's restart and its WAL on disk bounded: when WAL since the base passes `mirror_base_refresh_size`, makes a new base beside the
 * old one, lets replay go on on that, and deletes the WAL from before it.
 *
 * Made by the mirror side, ended with it (`stop`). Promises: WAL is received and acknowledged all the time, and a promotion can come at any
 * moment; at each moment one base with all the WAL behind it is whole and durable; WAL goes only when a durable base holds it. A
 * refresh that fails leaves the old base as it is and is tried again later.
 */
import {
  formatLsn,
  MirabelleError,
  type Lsn,
  type Peer,
  type Settings,
  type Timeline,
} from '@mirabelle/messages'
import { withTimeout, type Hello, type Logger, type Ports, type Timer, faults } from '@mirabelle/runtime'
import { receivedWalDir } from '../state/layout.ts'
import { putNextInPlace, putOldBack, removeOtherBases } from './base-folders.ts'
import type { BuildBase, BuiltBase } from './build-base.ts'
import { removeWalBefore, requireWal, type ReceivedFolder } from './kept-wal.ts'

/** WAL of the backup must have come within this time, ms. */
const WAL_WAIT_MS = 60_000
/** Pause after a failure, ms; doubled by each further one. */
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 300_000

/** The base of a mirror, as its refresh sees it. */
export interface RefreshedMirror {
  /** Where replay of the base begins; 0 while it is not known. */
  readonly baseLsn: Lsn
  /** Checked and durable. */
  readonly flushLsn: Lsn
  /** The timeline in whose received files everything up to `flushLsn` lies; 0 when there is none. */
  readonly ownTimeline: Timeline
  /** Ends replay, puts another base in place and replays from that; the old one is put `back` when that fails. False: not now. */
  replaceBase(change: BaseChange): Promise<boolean>
}

/** What happens while PostgreSQL is stopped. */
export interface BaseChange {
  /** Asked once more, when it is about to happen. */
  fits(): boolean
  /** Rejects with the old base in place. */
  forward(): Promise<void>
  back(): Promise<void>
}

export interface BaseRefreshOptions {
  readonly ports: Ports
  readonly log: Logger
  readonly datadir: string
  /** Of WAL, bytes. */
  readonly segmentSize: number
  readonly buildBase: BuildBase
  readonly settings: () => Settings
  /** The primary; null when there is none to copy from. */
  readonly peer: () => Peer | null
  /** What to say on the connection for the copy. */
  readonly hello: () => Hello
}

export class BaseRefresh {
  readonly #options: BaseRefreshOptions
  readonly #mirror: RefreshedMirror
  readonly #abort = new AbortController()
  #running: Promise<void> | undefined
  #doing = ''
  #timer: Timer | undefined
  #notBefore = 0
  #failures = 0
  #refreshedAt: number | null = null
  #wake: () => void = () => undefined

  constructor(options: BaseRefreshOptions, mirror: RefreshedMirror) {
    this.#options = options
    this.#mirror = mirror
  }

  /** What is being done, for `state`; empty when nothing is. */
  get doing(): string {
    return this.#doing
  }
  /** When a refresh was last completed, wall clock, ms; null when none was since the process started. */
  get refreshedAt(): number | null {
    return this.#refreshedAt
  }

  /** WAL arrived, or replay was restarted. Begins a refresh when it is time. Cheap. */
  look(): void {
    this.#wake()
    if (this.#running !== undefined || !this.#isDue()) return
    this.#running = this.#refresh().finally(() => {
      this.#running = undefined
      this.#doing = ''
    })
  }

  /** Nothing is begun any more. Resolves when nothing is under way; a promotion need not wait for that. */
  async stop(): Promise<void> {
    this.#abort.abort(new MirabelleError('not.ready', 'the mirror ends'))
    this.#timer?.clear()
    this.#wake()
    await this.#running
  }

  #isDue(): boolean {
    const { settings, peer, ports } = this.#options
    const limit = settings().mirror_base_refresh_size
    const { baseLsn, flushLsn } = this.#mirror
    if (limit === 0 || baseLsn === 0 || flushLsn - baseLsn < limit) return false
    if (this.#abort.signal.aborted || peer() === null) return false
    return ports.clock.monotonic() >= this.#notBefore
  }

  async #refresh(): Promise<void> {
    const { ports, log, datadir } = this.#options
    const startedAt = ports.clock.monotonic()
    const oldBaseLsn = this.#mirror.baseLsn
    try {
      if (faults !== undefined) await faults.at('refresh.begin')
      const built = await this.#build()
      if (faults !== undefined) await faults.at('refresh.built')
      await this.#walOf(built)
      if (faults !== undefined) await faults.at('refresh.wal')
      if (!(await this.#putInPlace(built))) throw notNow()
      if (faults !== undefined) await faults.at('refresh.running')
      this.#doing = 'base refresh: deleting the old base and its WAL'
      await removeOtherBases(ports.disk, datadir)
      if (faults !== undefined) await faults.at('refresh.old-removed')
      const segments = await removeWalBefore(ports.disk, this.#received, built.startLsn)
      this.#refreshedAt = ports.clock.now()
      this.#failures = 0
      const tookMs = ports.clock.monotonic() - startedAt
      this.#pause(tookMs)
      const { bytesTotal, bytesFetched, timeline } = built
      const from = formatLsn(oldBaseLsn)
      const lsn = formatLsn(built.startLsn)
      const facts = { from, lsn, timeline, bytesTotal, bytesFetched, segments, tookMs: Math.round(tookMs) }
      log.info(facts, 'the base of the mirror is refreshed')
    } catch (error) {
      await this.#failed(error)
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { ports, log, datadir } = this.#options
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 16)
    const stopped = this.#abort.signal.aborted
    if (!stopped) log.warn({ err: error, pauseMs }, 'the base could not be refreshed; it is tried again')
    this.#pause(pauseMs)
    await removeOtherBases(ports.disk, datadir).catch((failure: unknown) => {
      log.warn({ err: failure }, 'what is left of a base refresh is deleted by the next start')
    })
  }

  #build(): Promise<BuiltBase> {
    const { ports, log, datadir, peer, hello, buildBase } = this.#options
    const upstream = peer()
    if (upstream === null) return Promise.reject(notNow())
    const mine = hello()
    return buildBase({
      ports: { ...ports, log },
      datadir,
      upstream,
      hello: mine,
      epoch: mine.epoch,
      signal: this.#abort.signal,
      progress: (at) => {
        this.#doing = `base refresh: ${at.step}, ${at.bytesDone} of ${at.bytesTotal} bytes`
      },
    })
  }

  /** Resolves when the received files hold all WAL that the base needs. */
  async #walOf(built: BuiltBase): Promise<void> {
    const { ports } = this.#options
    this.#doing = 'base refresh: WAL of the backup'
    const arrived = async (): Promise<void> => {
      while (!this.#hasWal(built)) {
        this.#abort.signal.throwIfAborted()
        if (this.#mirror.ownTimeline > built.timeline) throw notNow()
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
    await withTimeout(ports.clock, arrived(), WAL_WAIT_MS, () => {
      const text = `WAL up to ${formatLsn(built.endLsn)} of timeline ${built.timeline} has not come within ${WAL_WAIT_MS} ms`
      return new MirabelleError('timeout', text)
    })
    const range = { timeline: built.timeline, from: built.startLsn, to: this.#mirror.flushLsn }
    await requireWal(ports.disk, this.#received, range)
  }

  get #received(): ReceivedFolder {
    const { datadir, segmentSize } = this.#options
    return { folder: receivedWalDir(datadir), segmentSize }
  }

  #hasWal({ timeline, endLsn }: BuiltBase): boolean {
    return this.#mirror.ownTimeline === timeline && this.#mirror.flushLsn >= endLsn
  }

  #putInPlace(built: BuiltBase): Promise<boolean> {
    const { ports, datadir } = this.#options
    this.#doing = 'base refresh: replay is restarted'
    return this.#mirror.replaceBase({
      fits: () => !this.#abort.signal.aborted && this.#hasWal(built),
      forward: () => putNextInPlace(ports.disk, datadir),
      back: () => putOldBack(ports.disk, datadir),
    })
  }

  #pause(ms: number): void {
    const { clock } = this.#options.ports
    this.#notBefore = clock.monotonic() + ms
    this.#timer?.clear()
    if (!this.#abort.signal.aborted) this.#timer = clock.setTimer(ms, () => this.look())
  }
}

function notNow(): MirabelleError {
  return new MirabelleError('not.ready', 'the mirror is promoted, or follows another timeline')
}
