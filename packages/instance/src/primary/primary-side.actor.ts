/**
 * What an instance does as primary: sends WAL out, makes it durable, keeps the commit gate, looks after its own PostgreSQL.
 *
 * Made by the instance actor when the engine is open for writing; ends with `close` (fenced, failed, stopped). Promises: WAL goes to the
 * mirror in the turn in which the engine reports it, whether durable here or not; an answer passes the gate only as I1 says.
 */
import type { EnginePort, WalChunk } from '@mirabelle/engine'
import {
  COORDINATOR_CONTENT,
  MirabelleError,
  type Content,
  type Dbid,
  type HistoryEntry,
  type Lsn,
  type Peer,
  type Settings,
  type Timeline,
} from '@mirabelle/messages'
import type { Hello, Logger, Ports } from '@mirabelle/runtime'
import type { SettledKnown, WalReader, WalSenderHub } from '@mirabelle/wal'
import { CopySender } from '../copy/copy-sender.actor.ts'
import { CommitGate } from '../gate/commit-gate.ts'
import type { InstanceHooks, WalParts } from '../instance-options.ts'
import { Maintenance } from '../maintenance/maintenance.actor.ts'
import { mirrorHealth, type MirrorHealth } from '../probe/mirror-health.ts'
import type { DurableState } from '../state/durable-state.ts'
import { FlushWatch } from './flush-watch.ts'
import { PeerWatch } from './peer-watch.ts'
import { StandbyPolicy } from './standby-policy.ts'
import { WalSync } from './wal-sync.ts'

/** How long a probe that turns synchronous replication on waits for the mirror to have all that was told, ms. */
const COVER_WAIT_MS = 250
const COVER_POLL_MS = 5

export interface PrimarySideOptions {
  readonly ports: Ports
  readonly log: Logger
  readonly engine: EnginePort
  readonly wal: WalParts
  readonly reader: WalReader
  readonly hooks: InstanceHooks
  readonly state: DurableState
  readonly identity: { readonly clusterId: string; readonly content: Content; readonly dbid: Dbid }
  /** PostgreSQL's own directory. */
  readonly pgdata: string
  readonly systemIdentifier: string
  readonly timeline: Timeline
  readonly history: readonly HistoryEntry[]
  readonly flushLsn: Lsn
  readonly settings: () => Settings
  readonly peer: () => Peer | null
  readonly hello: () => Hello
  /** What the walreceiver knew of settled statements before the promotion. */
  readonly settled: SettledKnown | undefined
  readonly maintenance: boolean
  readonly onReplaced: (reason: MirabelleError) => void
  /** WAL could not be made durable, or another promise cannot be kept: the instance must end. */
  readonly onFatal: (error: unknown) => void
}

export class PrimarySide {
  readonly hub: WalSenderHub
  readonly gate: CommitGate
  /** Gives the base to mirrors that need a copy; undefined where the engine is no PostgreSQL. */
  readonly copies: CopySender | undefined
  readonly #options: PrimarySideOptions
  readonly #sync: WalSync
  readonly #watch: PeerWatch
  readonly #flushWatch: FlushWatch
  readonly #standby: StandbyPolicy | undefined
  readonly #maintenance: Maintenance | undefined
  readonly #acceptingSince: number
  #timeline: Timeline
  /** The coordinator incarnation that dispatch numbers belong to. */
  #incarnation = ''

  constructor(options: PrimarySideOptions) {
    this.#options = options
    this.#timeline = options.timeline
    this.#acceptingSince = options.ports.clock.monotonic()
    const isCoordinator = options.identity.content === COORDINATOR_CONTENT
    this.gate = new CommitGate({
      localLsn: 0,
      syncRep: isCoordinator ? options.peer() !== null : options.state.syncRep === true,
      onReleased: () => options.hooks.onReleased?.(),
    })
    this.hub = this.#makeHub()
    if (options.settled !== undefined) {
      this.hub.settledSeed(options.settled)
      this.#incarnation = options.settled.incarnation
    }
    this.#sync = new WalSync({
      syncWal: () => options.engine.syncWal(),
      onDurable: (lsn) => this.gate.localDurable(lsn),
      onFailed: options.onFatal,
    })
    this.#sync.request()
    this.#watch = this.#makeWatch()
    this.#flushWatch = new FlushWatch({
      clock: options.ports.clock,
      gate: this.gate,
      mirror: () => this.hub.mirrorStatus(),
      timeoutMs: () => options.settings().wal_sender_timeout,
      disconnect: (reason, dbid) => {
        options.log.warn({ mirror: dbid }, reason.message)
        this.hub.disconnect(reason, dbid)
      },
    })
    if (isCoordinator) this.#standby = this.#makeStandbyPolicy()
    if (options.maintenance) {
      this.#maintenance = this.#makeMaintenance()
      this.copies = this.#makeCopies(this.#maintenance)
    }
  }

  /** The engine wrote WAL: out to the mirror, then to the disk. */
  onWal(chunk: WalChunk): void {
    this.#timeline = chunk.timeline
    this.hub.publish(chunk, this.#options.hooks.settledOf?.(chunk) ?? [], this.#incarnation)
    this.#sync.request()
  }

  get timeline(): Timeline {
    return this.#timeline
  }

  /** Where the slot keeps WAL from, for the mirror; 0 while that is not known. */
  get slotLsn(): Lsn {
    return this.#maintenance?.slotLsn ?? 0
  }

  /** A coordinator opens the lane: statements from `nextSeq` on are told to the mirror. Returns what is known of earlier ones. */
  openLane(incarnation: string, nextSeq: number): SettledKnown {
    this.#incarnation = incarnation
    this.hub.settledReset(incarnation, nextSeq)
    return this.hub.settledKnown()
  }

  /** The mirror's health, as FTS is told. */
  health(): MirrorHealth {
    return mirrorHealth({
      mirror: this.hub.mirrorStatus(),
      mirrorDbid: this.#options.peer()?.dbid ?? null,
      syncRep: this.gate.syncRep,
      releasedLsn: this.gate.releasedLsn,
      now: this.#options.ports.clock.monotonic(),
      acceptingSince: this.#acceptingSince,
      stalledSince: this.#flushWatch.stalledSince,
      settings: this.#options.settings(),
    })
  }

  /**
   * Within a probe: turns synchronous replication on, durably, when the mirror streams, and waits for a moment until the mirror has
   * everything that was told before, so that this very probe can say that the pair is in sync.
   */
  async turnSyncRepOn(): Promise<void> {
    if (this.#standby !== undefined || this.gate.syncRep || !this.health().readyForSyncRep) return
    await this.#options.state.setSyncRep(true)
    if (this.gate.closed) return
    this.gate.setSyncRep(true)
    this.#options.log.info({ lsn: this.gate.releasedLsn }, 'synchronous replication on: the mirror streams')
    const { clock } = this.#options.ports
    const until = clock.monotonic() + COVER_WAIT_MS
    while (!this.health().isInSync && this.health().isMirrorUp && clock.monotonic() < until) {
      await new Promise<void>((resolve) => clock.setTimer(COVER_POLL_MS, resolve))
    }
  }

  /** The mirror is recorded down (I3): commits stop waiting for it, durably. */
  async turnSyncRepOff(): Promise<void> {
    await this.#options.state.setSyncRep(false)
    if (this.#standby !== undefined || !this.gate.syncRep) return
    this.#options.log.info({ waiting: this.gate.waiting }, 'synchronous replication off: the mirror is down')
    this.gate.setSyncRep(false)
  }

  /**
   * The assignment changed: another peer, other settings. Its stream may have stood, and told what it has, before it was the mirror; with nothing new
   * to flush it will not tell again, and commits would wait for ever.
   */
  reassigned(): void {
    const { identity, peer } = this.#options
    const dbid = peer()?.dbid
    const stream = this.hub.replicationRows().find((row) => row.dbid === dbid)
    this.gate.mirrorDurable(stream?.flushLsn ?? 0)
    if (identity.content !== COORDINATOR_CONTENT) this.gate.setMirrorAway(this.#mirrorIsAway())
    this.#watch.changed()
    this.#standby?.evaluate()
  }

  /** Another instance is the mirror now: the old one gets no WAL any more. */
  mirrorReplaced(old: Dbid): void {
    const { dbid } = this.#options.identity
    this.hub.disconnect(
      new MirabelleError('not.ready', `dbid ${old} is no longer the mirror of dbid ${dbid}`),
      old,
    )
  }

  /** Runs a checkpoint now, for instance before a base backup. False when the lane was not quiet in time. */
  checkpoint(): Promise<boolean> {
    return this.#maintenance?.checkpointNow() ?? Promise.resolve(false)
  }

  /** Waits until the mirror, if one streams, has all WAL; used by an orderly stop. False after `ms`. */
  async mirrorCaughtUp(ms: number): Promise<boolean> {
    const { clock } = this.#options.ports
    const until = clock.monotonic() + ms
    while (this.hub.mirrorStatus().state === 'streaming' && !this.hub.mirrorStatus().caughtUp) {
      if (clock.monotonic() >= until) return false
      await new Promise<void>((resolve) => clock.setTimer(COVER_POLL_MS, resolve))
    }
    return true
  }

  /** Stops what runs by itself (timers, own SQL), but keeps gate and streams: the beginning of an orderly stop. */
  quiet(): void {
    this.#sync.leaveToEngine()
    this.#watch.stop()
    this.#maintenance?.stop()
    const { dbid } = this.#options.identity
    this.copies?.close(
      new MirabelleError('not.ready', `dbid ${dbid} stops being primary: the copy has ended`),
    )
  }

  /** Nothing leaves as primary any more; who waits gets the error. */
  close(reason: MirabelleError): void {
    this.quiet()
    this.#flushWatch.stop()
    this.#standby?.stop()
    this.#sync.stop()
    this.gate.close(reason)
    this.hub.stop()
  }

  #makeHub(): WalSenderHub {
    const options = this.#options
    const isCoordinator = options.identity.content === COORDINATOR_CONTENT
    return options.wal.createHub({
      ports: { ...options.ports, log: options.log },
      identity: options.identity,
      files: options.reader,
      settings: options.settings,
      syncRep: () => this.gate.syncRep,
      state: () => ({
        timeline: this.#timeline,
        flushLsn: options.flushLsn,
        history: options.history,
        systemIdentifier: options.systemIdentifier,
        isPrimary: !this.gate.closed,
        epoch: options.state.epoch,
      }),
      mayStream: (dbid) => (options.peer()?.dbid ?? dbid) === dbid,
      listeners: {
        onFlushed: (dbid, lsn) => {
          if (dbid === options.peer()?.dbid) this.gate.mirrorDurable(lsn)
        },
        onState: (dbid, state, reason) => {
          options.log.debug({ mirror: dbid, to: state, reason: reason?.message ?? '' }, 'walsender')
          this.#standby?.evaluate()
          this.#watch.changed()
          options.hooks.onStream?.(dbid, state)
          // The coordinator goes on without its standby by a rule of its own.
          if (!isCoordinator) this.gate.setMirrorAway(this.#mirrorIsAway())
        },
      },
    })
  }

  #mirrorIsAway(): boolean {
    const { state, dbid } = this.hub.mirrorStatus()
    return state === 'none' || dbid !== this.#options.peer()?.dbid
  }

  #makeWatch(): PeerWatch {
    const { ports, log, hello, peer, onReplaced } = this.#options
    return new PeerWatch({
      clock: ports.clock,
      network: ports.network,
      log,
      hello,
      peer,
      timeline: () => this.#timeline,
      mirrorConnected: () => this.hub.mirrorStatus().state !== 'none',
      onReplaced,
    })
  }

  #makeStandbyPolicy(): StandbyPolicy {
    const { ports, log, hooks, peer } = this.#options
    return new StandbyPolicy({
      clock: ports.clock,
      log,
      gate: this.gate,
      mirror: () => this.hub.mirrorStatus(),
      standbyDbid: () => peer()?.dbid ?? null,
      mark: (stale) => hooks.markStandby?.(stale) ?? Promise.resolve(),
    })
  }

  #makeMaintenance(): Maintenance {
    const { ports, log, engine, hooks, settings, peer } = this.#options
    return new Maintenance({
      clock: ports.clock,
      log,
      engine,
      settings,
      lane: hooks.quietLane,
      endLsn: () => this.hub.endLsn,
      pinnedLsn: () => this.copies?.pinnedLsn(),
      copying: () => this.copies?.busy === true,
      mirrorFlushLsn: () => (peer() === null ? undefined : this.hub.mirrorStatus().flushLsn),
    })
  }

  #makeCopies(maintenance: Maintenance): CopySender {
    const { ports, log, engine, identity, pgdata, reader, state } = this.#options
    return new CopySender({
      clock: ports.clock,
      disk: ports.disk,
      log,
      identity,
      epoch: () => state.epoch,
      pgdata,
      quietly: (work) => maintenance.quietly(work),
      syncWal: () => engine.syncWal(),
      timeline: () => this.#timeline,
      endLsn: () => this.hub.endLsn,
      readHistory: (timeline) => reader.readHistory(timeline),
      hasWal: (dbid, lsn) => {
        const mirror = this.hub.mirrorStatus()
        return mirror.dbid === dbid && mirror.state === 'streaming' && mirror.flushLsn >= lsn
      },
    })
  }
}
