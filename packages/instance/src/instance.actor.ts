/**
 * One instance: a PostgreSQL behind the engine port, its role, and what that role owes to the rest of the cluster (architecture §2).
 *
 * Made by the process's main (through segment or coordinator) with its assignment; ends with `stop`, or by itself when a promise
 * cannot be kept any more; the hook `onEnd` is called once, and the process ends. Role decisions are the machine's; this file performs
 * them. Requests of others come in through `control/`; what a primary and a mirror do is in `primary/` and `mirror/`.
 */
import type { EnginePort, EngineStarted } from '@mirabelle/engine'
import {
  areNewer,
  COORDINATOR_CONTENT,
  formatLsn,
  isMirabelleError,
  MirabelleError,
  settingsFrom,
  type Assignment,
  type Content,
  type CopyState,
  type Dbid,
  type Epoch,
  type Lsn,
  type MessageOf,
  type Peer,
  type Settings,
  type SettingTexts,
  type Timeline,
} from '@mirabelle/messages'
import {
  withTimeout,
  type Hello,
  type Listener,
  type Logger,
  type Party,
  type Ports,
  type Purpose,
} from '@mirabelle/runtime'
import type { SettledKnown } from '@mirabelle/wal'
import { acceptConnection, replaced, superseded, type ConnectionSubject } from './control/connections.ts'
import type { StopMode } from './control/control.ts'
import { probed } from './control/probed.ts'
import { copyUntilDone } from './copy/copy-until-done.ts'
import { copyFromPeer } from './copy/block-copy.ts'
import type { CopyFromPeer, CopyMode } from './copy/copy-from-peer.ts'
import type { CommitGate } from './gate/commit-gate.ts'
import type { InstanceHooks, InstanceOptions, WalParts } from './instance-options.ts'
import { EngineLimits } from './life/engine-limits.ts'
import { EpochGuard } from './life/epoch-guard.ts'
import { openFolder } from './life/open-folder.ts'
import { MirrorSide } from './mirror/mirror-side.actor.ts'
import { syncTail } from './mirror/sync-tail.ts'
import type { WalEnd } from './mirror/wal-end.ts'
import { PrimarySide } from './primary/primary-side.actor.ts'
import { NO_MIRROR } from './probe/mirror-health.ts'
import { DiskCheck } from './probe/disk-check.ts'
import { removeOtherBases, settleBases } from './refresh/base-folders.ts'
import { BaseRefresh, type RefreshedMirror } from './refresh/base-refresh.actor.ts'
import type { RoleEvent, RoleState } from './role/instance-role.machine.ts'
import { RoleDecider } from './role/role-decider.ts'
import type { DurableState } from './state/durable-state.ts'
import { withNewestSettings } from './state/newest-settings.ts'
import { diskCheckFile, pgdataDir, pgWalDir, receivedWalDir } from './state/layout.ts'
import { systemIdentifier } from './state/system-identifier.ts'
import { realWalParts } from './wal-parts.ts'

/** How long a smart stop waits for statements to end, ms. */
const QUIESCE_MS = 60_000
/** How long an orderly stop waits for the mirror to have the last WAL, ms. */
const LAST_WAL_MS = 2_000

/**
 * What makes a mirror unfit and goes away with a copy of its primary. Rewritten WAL is part of it: a bit that was turned where no checksum looks (the padding
 * of a page) shows when the same WAL comes again.
 */
const COPY_MENDS: ReadonlySet<string> = new Set(['wal.diverged', 'wal.removed', 'wal.ahead', 'wal.rewrite'])

export class InstanceActor implements ConnectionSubject {
  readonly clusterId: string
  readonly dbid: Dbid
  readonly content: Content
  readonly hooks: InstanceHooks
  readonly log: Logger
  readonly engine: EnginePort
  readonly diskCheck: DiskCheck
  readonly #ports: Ports
  readonly #wal: WalParts
  readonly #options: InstanceOptions
  readonly #datadir: string
  readonly #role: RoleDecider
  readonly #epochs: EpochGuard
  readonly #limits: EngineLimits
  readonly #startedAt: number
  #assignment: Assignment
  #settings: Settings
  #durable: DurableState | undefined
  #systemIdentifier = ''
  #listener: Listener | undefined
  #primary: PrimarySide | undefined
  #mirror: MirrorSide | undefined
  #detail = ''
  #ended = false
  #generation = 0
  #copyAbort: AbortController | undefined
  #copyState: CopyState | null = null

  constructor(options: InstanceOptions) {
    const { assignment, ports } = options
    this.#options = options
    this.clusterId = options.clusterId
    this.dbid = assignment.dbid
    this.content = assignment.content
    this.hooks = options.hooks
    this.engine = options.engine
    this.log = ports.log.child({ dbid: assignment.dbid, content: assignment.content })
    this.#ports = { ...ports, log: this.log }
    this.#wal = options.wal ?? realWalParts
    this.#assignment = assignment
    this.#settings = this.#understood(assignment.settings)
    this.#datadir = assignment.datadir
    this.#startedAt = ports.clock.now()
    this.#role = new RoleDecider(assignment.role)
    this.diskCheck = new DiskCheck(ports, diskCheckFile(assignment.datadir))
    this.#limits = new EngineLimits(options.engine, ports.clock, this.log, this.dbid)
    this.#epochs = new EpochGuard({
      dbid: this.dbid,
      content: this.content,
      log: this.log,
      durable: () => this.durable,
      mayRaise: (epoch, who) => this.#mayRaise(epoch, who),
      onRaised: async (epoch) => this.hooks.onEpochRaised?.(epoch),
      onFatal: (error) => this.fail(error),
    })
    this.engine.onWal = (chunk) => this.#primary?.onWal(chunk)
    this.engine.onDeath = (error) => {
      const message = `PostgreSQL of dbid ${this.dbid} ended unexpectedly: ${error.message}`
      this.fail(new MirabelleError('engine.died', message, { cause: error }))
    }
  }

  // ---- what others see ---------------------------------------------------------------------------------------------------

  get roleState(): RoleState {
    return this.#role.state
  }
  get reason(): string {
    return this.#role.reason
  }
  /** What the instance has promised and recorded. Only after `start` has opened it. */
  get durable(): DurableState {
    if (this.#durable === undefined) throw new MirabelleError('not.ready', `dbid ${this.dbid} is starting`)
    return this.#durable
  }
  get primary(): PrimarySide | undefined {
    return this.#primary
  }
  /** The commit gate of a primary. */
  get gate(): CommitGate | undefined {
    return this.#primary?.gate
  }
  get systemIdentifier(): string {
    return this.#systemIdentifier
  }
  get assignment(): Assignment {
    return this.#assignment
  }
  /** Generation of the backend when it was last started by the instance. */
  get generation(): number {
    return this.#generation
  }
  get timeline(): Timeline {
    return this.#primary?.timeline ?? this.#mirror?.timeline ?? this.#role.timeline
  }
  get epoch(): Epoch {
    return this.durable.epoch
  }
  /** Port of the listener, once it listens. */
  get port(): number {
    return this.#listener?.port ?? 0
  }
  settings(): Settings {
    return this.#settings
  }

  /** What the instance says first on a connection that it opens. */
  hello(purpose: Purpose): Hello {
    return { ...this.#party(), purpose, epoch: this.#durable?.epoch ?? 0 }
  }

  /** What a mirror, or the mirror that this primary was, knows of statements that took effect. */
  settledKnown(): SettledKnown | undefined {
    return this.#primary?.hub.settledKnown() ?? this.#mirror?.receiver?.settledKnown()
  }

  // ---- life ---------------------------------------------------------------------------------------------------------------

  /**
   * Starts in the assigned role. Resolves when the instance is primary or mirror, or is being copied; rejects, after `onEnd`, with why it
   * cannot run: `datadir.foreign`, `datadir.broken`, `datadir.locked`, `engine.died`, …
   */
  async start(): Promise<void> {
    try {
      await this.#open()
      if (this.#assignment.role === 'p') await this.#startAsPrimary()
      else await this.#startAsMirror()
    } catch (error) {
      this.fail(error)
      throw error
    }
  }

  /** Ends in an orderly way. Resolves when PostgreSQL has ended; `onEnd` is called then. */
  async stop(mode: StopMode): Promise<void> {
    if (this.roleState === 'stopped' || this.roleState === 'failed') return
    const again = this.roleState === 'stopping'
    if (mode === 'smart' && !again) await this.#quiesce()
    this.#decide({ type: 'stop', reason: `stop mode ${mode}` })
    if (again && mode !== 'immediate') return
    this.#copyAbort?.abort()
    const primary = this.#primary
    primary?.quiet()
    if (this.#mirror !== undefined) {
      const closing = this.#mirror.close()
      // A replay that hangs must not hold up the stop.
      await this.#limits.stop('immediate')
      await closing
    }
    if (primary !== undefined && !primary.gate.closed && mode !== 'immediate') {
      await this.#limits.stop('fast')
      await primary.mirrorCaughtUp(LAST_WAL_MS)
    }
    const reason = new MirabelleError('not.ready', `dbid ${this.dbid} of content ${this.content} is stopped`)
    primary?.close(reason)
    await this.#limits.stop('immediate')
    await this.#listener?.close()
    if ((this.roleState as RoleState) !== 'stopping') return
    this.#decide({ type: 'stop.done' })
    this.#end(undefined)
  }

  /** A promise cannot be kept any more: nothing leaves after this, and the process is to end with a status other than 0. */
  fail(cause: unknown): void {
    if (this.roleState === 'failed' || this.roleState === 'stopped') return
    // What breaks after the fencing is its consequence: whoever reads the last words wants to know why it was fenced.
    const told =
      this.roleState === 'fenced' ? new MirabelleError('not.primary', this.reason, { cause }) : cause
    const error = isMirabelleError(told)
      ? told
      : new MirabelleError('engine.died', `dbid ${this.dbid}: ${describe(told)}`, { cause: told })
    this.log.error({ err: error }, 'the instance fails')
    this.#decide({ type: 'fail', code: error.code, reason: error.message })
    this.#primary?.close(error)
    this.#copyAbort?.abort()
    const closing: Promise<void>[] = [this.#limits.stop('immediate')]
    if (this.#mirror !== undefined) closing.push(this.#mirror.close())
    if (this.#listener !== undefined) closing.push(this.#listener.close())
    void Promise.allSettled(closing).then(() => this.#end(error))
  }

  /** Somebody else rules: nothing is answered as primary any more, what waits fails. */
  fence(reason: MirabelleError): void {
    if (this.roleState !== 'primary') return
    this.#decide({ type: 'fence', code: reason.code, reason: reason.message })
    this.#primary?.close(reason)
    void this.#limits.stop('immediate')
  }

  // ---- requests -----------------------------------------------------------------------------------------------------------

  /** Lets a request of epoch `epoch` in, or throws `epoch.stale`. A higher epoch is promised durably first (I4). */
  admitEpoch(epoch: Epoch, who: string): Promise<void> {
    return this.#epochs.admit(epoch, who)
  }

  /** Promises an epoch. Resolves when it is durable and no statement of an older coordinator can run any more. */
  raiseEpoch(epoch: Epoch): Promise<void> {
    return this.#epochs.raise(epoch)
  }

  /** PROMOTE: idempotent, and does not wait. A mirror that is starting is promoted when replay has begun. */
  requestPromote(): void {
    const before = this.roleState
    this.#decide({ type: 'promote' })
    if (before === 'mirror' && (this.roleState as RoleState) === 'promoting') this.#promote()
  }

  get mirrorDbid(): Dbid | null {
    return this.#assignment.peer?.dbid ?? null
  }

  probed(mirror: Dbid | null = this.mirrorDbid): MessageOf<'fts.probed'> {
    const health = this.roleState === 'primary' ? this.#primary?.health() : undefined
    return probed({
      roleState: this.roleState,
      assignedRole: this.#assignment.role,
      // What the primary knows of its old mirror must never pass for a mirror that has taken its place (I2).
      health: mirror === this.mirrorDbid || health === undefined ? health : NO_MIRROR,
      syncRep: this.#primary?.gate.syncRep ?? this.#durable?.syncRep === true,
      replayLsn: this.#replayLsn(),
      flushLsn: this.#flushLsn(),
      timeline: this.timeline,
    })
  }

  status(): MessageOf<'instance.statusIs'> {
    const info = this.#options.processInfo?.() ?? { pid: 0, rssBytes: 0 }
    const detail = [
      this.reason,
      this.#detail,
      this.#mirror?.refresh?.doing ?? '',
      this.hooks.detail?.() ?? '',
    ].filter((one) => one !== '')
    return {
      type: 'instance.statusIs',
      dbid: this.dbid,
      content: this.content,
      pid: info.pid,
      roleState: this.roleState,
      role: this.#actingRole(),
      epoch: this.#durable?.epoch ?? 0,
      timeline: this.timeline,
      flushLsn: this.#flushLsn(),
      replayLsn: this.#replayLsn(),
      baseLsn: this.#mirror?.baseLsn ?? 0,
      baseRefreshedAt: this.#mirror?.refresh?.refreshedAt ?? null,
      syncRep: this.#primary?.gate.syncRep ?? this.#durable?.syncRep === true,
      startedAt: this.#startedAt,
      rssBytes: info.rssBytes,
      detail: detail.join('; '),
      copy: this.#copyState,
      replication: this.#primary?.hub.replicationRows() ?? [],
    }
  }

  /** The settings are these now. Older ones than it has change nothing. Resolves when they are durable and in force. */
  async configure(settings: SettingTexts): Promise<void> {
    if (!areNewer(settings, this.#assignment.settings)) return
    await this.#assign((held) => withNewestSettings(held, { ...held, settings: { ...settings } }))
    this.log.info({ settings: this.#assignment.settings }, 'the settings have changed')
  }

  /** Writes an assignment down, then acts on it. */
  async #assign(next: (held: Assignment) => Assignment): Promise<void> {
    await this.durable.setAssignment((held) => next(held ?? this.#assignment))
    this.#actOn(this.durable.assignment ?? this.#assignment)
  }

  #actOn(assignment: Assignment): void {
    this.#assignment = assignment
    this.#settings = this.#understood(assignment.settings)
  }

  #understood(texts: SettingTexts): Settings {
    return settingsFrom(texts, (error) => this.log.warn({ err: error }, 'a setting keeps its default'))
  }

  /** The peer, the settings or the permitted recovery changed. An assignment that says mirror fences a primary. */
  async reassign(assignment: Assignment): Promise<void> {
    const before = this.#assignment
    await this.#assign((held) => withNewestSettings(assignment, held))
    if (this.roleState === 'primary' && assignment.role === 'm') {
      this.fence(
        new MirabelleError(
          'not.primary',
          `dbid ${this.dbid} was told that it is a mirror; start it anew as one`,
        ),
      )
      return
    }
    if (assignment.peer !== null && !samePeer(before.peer, assignment.peer))
      this.#mirror?.setPeer(assignment.peer)
    if (before.peer !== null && before.peer.dbid !== assignment.peer?.dbid)
      this.#primary?.mirrorReplaced(before.peer.dbid)
    this.#primary?.reassigned()
    if (this.roleState === 'unfit') this.#recover(this.reason)
  }

  // ---- starting -----------------------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const assignment = this.#assignment
    this.#durable = await openFolder(this.#ports.disk, this.clusterId, assignment)
    this.#actOn(this.#durable.assignment ?? assignment)
    const put =
      this.#durable.copying === null ? await settleBases(this.#ports.disk, this.#datadir) : undefined
    if (put !== undefined) this.log.warn({ put }, 'a change of bases was interrupted; one is in place again')
    this.#listener = await this.#ports.network.listen(
      assignment.listen,
      () => this.#party(),
      (connection, hello) => acceptConnection(this, connection, hello),
    )
  }

  async #startAsPrimary(): Promise<void> {
    if (this.durable.copying !== null) {
      throw new MirabelleError(
        'datadir.broken',
        `${this.#datadir} holds a copy that is not complete (dbid ${this.dbid}): it cannot be started as primary; recover it as mirror`,
      )
    }
    this.#systemIdentifier = await systemIdentifier(this.#ports.disk, this.#datadir)
    if (this.durable.role === 'm') {
      // FTS made this copy the primary while its process was away, or a promotion was interrupted.
      const end = await this.#findEnd()
      if (end.damaged === true) throw this.#lacksWal(`its WAL is damaged at ${formatLsn(end.receivedEnd)}`)
      this.#decide({ type: 'promote' })
      await this.#replay(end, undefined)
      return
    }
    const started = await this.#limits.started(this.engine.startPrimary(), 'start as primary')
    await this.durable.setRole('p')
    await this.#openPrimary(started, undefined)
  }

  async #startAsMirror(): Promise<void> {
    const { recovery } = this.#assignment
    const wanted =
      this.durable.copying ?? (recovery === 'full' || recovery === 'differential' ? recovery : null)
    const copyHook = this.#copyHook
    const noBase =
      copyHook !== undefined &&
      !(await this.#ports.disk.exists(`${pgdataDir(this.#datadir)}/global/pg_control`))
    if (wanted !== null || noBase) {
      this.#copy(wanted ?? 'full', noBase ? 'the folder has no base yet' : `${wanted} recovery was asked for`)
      return
    }
    this.#systemIdentifier = await systemIdentifier(this.#ports.disk, this.#datadir)
    await this.#replay(await this.#findEnd(), this.#assignment.peer ?? undefined)
  }

  async #findEnd(): Promise<WalEnd> {
    const end = await this.#wal.findEnd(this.#ports, this.#walFolders())
    if (end === undefined) {
      throw new MirabelleError(
        'datadir.broken',
        `${this.#datadir} has no WAL at all: dbid ${this.dbid} cannot be a mirror; recover it with a full copy`,
      )
    }
    await syncTail(this.#ports.disk, this.#walFolders())
    return end
  }

  /** Receives from `peer` and replays, from `end` on. */
  async #replay(end: WalEnd, peer: Peer | undefined): Promise<void> {
    await this.durable.setRole('m')
    const mirror = new MirrorSide({
      ports: this.#ports,
      log: this.log,
      engine: this.engine,
      wal: this.#wal,
      state: this.durable,
      identity: {
        clusterId: this.clusterId,
        content: this.content,
        dbid: this.dbid,
        systemIdentifier: this.#systemIdentifier,
      },
      walDir: receivedWalDir(this.#datadir),
      end,
      peer,
      settings: () => this.#settings,
      ...(this.#options.maintenance === false ? {} : { refresh: this.#refreshOf }),
      onTimeline: (timeline) => {
        if (this.roleState === 'mirror') this.#decide({ type: 'engine.mirror', timeline })
      },
      onUnfit: (state, reason) => this.#recover(`${state}: ${reason.message}`, reason),
      onFatal: (error) => this.fail(error),
    })
    this.#mirror = mirror
    const started = await this.#limits.started(mirror.start(), 'start as mirror').catch((error: unknown) => {
      // A copy ended this start: the base is made anew, however the start on the old one went.
      if (this.#mirror === mirror) throw error
      this.log.debug({ err: error }, 'the start on the old base was ended by a copy')
    })
    if (started === undefined || this.#mirror !== mirror || this.roleState !== 'starting') return
    this.#generation = started.generation
    this.#decide({ type: 'engine.mirror', timeline: mirror.timeline })
    if ((this.roleState as RoleState) === 'promoting') this.#promote()
  }

  readonly #refreshOf = (mirror: RefreshedMirror): BaseRefresh =>
    new BaseRefresh(
      {
        ports: this.#ports,
        log: this.log,
        datadir: this.#datadir,
        settings: () => this.#settings,
        peer: () => this.#assignment.peer,
        hello: () => this.hello('copy'),
      },
      mirror,
    )

  // ---- mirror → primary ---------------------------------------------------------------------------------------------------

  #promote(): void {
    this.#promoteNow().catch((error: unknown) => this.fail(error))
  }

  async #promoteNow(): Promise<void> {
    const mirror = this.#mirror as MirrorSide
    const { clock } = this.#ports
    const begunAt = clock.monotonic()
    // Off before anything else: commits of the new primary must not wait for a mirror that it does not have.
    await this.durable.setSyncRep(false)
    const { started, received } = await this.#limits.started(mirror.takeOver(), 'promotion')
    if (this.roleState !== 'promoting') return
    if (received !== undefined && started.lsn < received.receivedEnd) {
      // Recovery ended before all that was acknowledged. This base must never serve, not after a restart either.
      await this.durable.setCopying('differential')
      throw this.#lacksWal(
        `recovery ended at ${formatLsn(started.lsn)} although WAL was received up to ${formatLsn(received.receivedEnd)}`,
      )
    }
    await this.durable.setRole('p')
    // A promoted standby has no standby: the old coordinator cannot become one without a recovery.
    const peer = this.content === COORDINATOR_CONTENT ? null : this.#assignment.peer
    await this.#assign((held) => ({ ...held, role: 'p', peer }))
    this.#mirror = undefined
    const settled =
      received === undefined
        ? undefined
        : {
            ...received.settled,
            entries: received.settled.entries.filter(([, lsn]) => lsn <= received.receivedEnd),
          }
    await this.#openPrimary(started, settled)
    this.log.info(
      {
        timeline: started.timeline,
        lsn: formatLsn(started.lsn),
        receivedEnd: formatLsn(received?.receivedEnd ?? started.lsn),
        tookMs: Math.round(clock.monotonic() - begunAt),
      },
      'promoted',
    )
  }

  /** To be primary it would lack WAL that it has acknowledged (I2). */
  #lacksWal(why: string): MirabelleError {
    return new MirabelleError(
      'wal.corrupt',
      `dbid ${this.dbid} of content ${this.content} cannot become primary: ${why}; start the other instance of the content, then recover this one`,
      { detail: { dbid: this.dbid, content: this.content } },
    )
  }

  async #openPrimary(started: EngineStarted, settled: SettledKnown | undefined): Promise<void> {
    const history = await this.#wal.history(this.#ports, this.#walFolders(), started.timeline)
    if (this.roleState !== 'starting' && this.roleState !== 'promoting') return
    this.#generation = started.generation
    this.#primary = new PrimarySide({
      ports: this.#ports,
      log: this.log,
      engine: this.engine,
      wal: this.#wal,
      reader: this.#wal.createReader(this.#ports, this.#walFolders()),
      hooks: this.hooks,
      state: this.durable,
      identity: { clusterId: this.clusterId, content: this.content, dbid: this.dbid },
      pgdata: pgdataDir(this.#datadir),
      systemIdentifier: this.#systemIdentifier,
      timeline: started.timeline,
      history,
      flushLsn: started.lsn,
      settings: () => this.#settings,
      peer: () => this.#assignment.peer,
      hello: () => this.hello('wal'),
      settled,
      maintenance: this.#options.maintenance !== false,
      onReplaced: (reason) => this.fence(this.content === COORDINATOR_CONTENT ? replaced(reason) : reason),
      onFatal: (error) => this.fail(error),
    })
    this.#decide({ type: 'engine.primary', timeline: started.timeline })
  }

  // ---- copy ---------------------------------------------------------------------------------------------------------------

  /** The block-wise copy, unless the owner has another one, or the engine has no files of PostgreSQL's. */
  get #copyHook(): CopyFromPeer | undefined {
    return this.hooks.copyFromPeer ?? (this.#options.maintenance === false ? undefined : copyFromPeer)
  }

  /** The walreceiver cannot go on: copy when the assignment allows it, else say so and stay unfit. */
  #recover(why: string, reason?: MirabelleError): void {
    const { recovery } = this.#assignment
    const code = reason?.code ?? 'wal.diverged'
    const copyable = COPY_MENDS.has(code)
    if (recovery !== 'incremental' && copyable && this.#copyHook !== undefined) {
      this.#copy(recovery === 'full' ? 'full' : 'differential', why)
      return
    }
    if (this.roleState === 'unfit') return
    const next = copyable
      ? 'recover it with a differential or full copy (`mirabelle recover --differential`)'
      : 'see the log; `mirabelle recover --full` makes it anew'
    this.#decide({ type: 'unfit', code, reason: `${why}; ${next}` })
    const mirror = this.#mirror
    this.#mirror = undefined
    const closing = async (): Promise<void> => {
      await mirror?.close()
      await this.#limits.stop('immediate')
    }
    closing().catch((error: unknown) => this.fail(error))
  }

  #copy(mode: CopyMode, why: string): void {
    this.#decide({ type: 'copy', reason: why })
    if (this.roleState !== 'copying') return
    this.#copyNow(mode).catch((error: unknown) => this.fail(error))
  }

  async #copyNow(mode: CopyMode): Promise<void> {
    const mirror = this.#mirror
    this.#mirror = undefined
    await mirror?.close()
    await this.#limits.stop('immediate')
    // A whole base is in place still: others must not be taken for one when the copy has removed it.
    await removeOtherBases(this.#ports.disk, this.#datadir)
    await this.durable.setCopying(mode)
    this.#copyAbort = new AbortController()
    const result = await copyUntilDone({
      ports: this.#ports,
      hook: this.#copyHook,
      mode,
      datadir: this.#datadir,
      peer: () => this.#assignment.peer,
      hello: () => this.hello('copy'),
      signal: this.#copyAbort.signal,
      maxRate: () => this.#assignment.copyMaxRate ?? null,
      say: (detail) => {
        this.#detail = detail
      },
      progress: (copy) => {
        this.#copyState = copy
      },
    })
    this.#copyAbort = undefined
    this.#copyState = null
    this.#detail = ''
    if (result === undefined || this.roleState !== 'copying') return
    await this.durable.setCopying(null)
    // The copy that was asked for is made: a restart of the process is not to make it again.
    await this.#assign((held) => ({ ...held, recovery: 'auto' }))
    this.#decide({ type: 'copy.done' })
    this.#systemIdentifier = await systemIdentifier(this.#ports.disk, this.#datadir)
    const end: WalEnd = { timeline: result.timeline, receivedEnd: result.startLsn, history: result.history }
    await this.#replay(end, this.#assignment.peer ?? undefined)
  }

  // ---- small things -------------------------------------------------------------------------------------------------------

  #decide(event: RoleEvent): void {
    const change = this.#role.decide(event)
    if (change === undefined) return
    this.log.info(
      {
        from: change.from,
        event: event.type,
        to: change.to,
        reason: change.reason,
        lsn: formatLsn(this.#flushLsn()),
        timeline: this.timeline,
      },
      change.sentence,
    )
    this.hooks.onRole?.({ from: change.from, to: change.to, reason: change.reason })
  }

  #end(error: MirabelleError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.hooks.onEnd(error)
  }

  /** A coordinator that hears of a higher epoch does not obey it: it has been replaced. */
  #mayRaise(epoch: Epoch, who: string): void {
    if (this.content !== COORDINATOR_CONTENT || this.roleState !== 'primary') return
    const error = superseded(this, epoch, who)
    this.fence(error)
    throw error
  }

  async #quiesce(): Promise<void> {
    const tooLong = () => new MirabelleError('timeout', `statements still run after ${QUIESCE_MS} ms`)
    try {
      await withTimeout(this.#ports.clock, this.hooks.quiesce?.() ?? Promise.resolve(), QUIESCE_MS, tooLong)
    } catch (error) {
      this.log.warn({ err: error }, 'smart stop goes on as fast')
    }
  }

  #walFolders(): readonly string[] {
    return [pgWalDir(this.#datadir), receivedWalDir(this.#datadir)]
  }

  #actingRole(): 'p' | 'm' {
    if (this.roleState === 'primary' || this.roleState === 'promoting') return 'p'
    if (this.roleState === 'mirror' || this.roleState === 'copying' || this.roleState === 'unfit') return 'm'
    return this.#assignment.role
  }

  #flushLsn(): Lsn {
    return this.#primary?.gate.localLsn ?? this.#mirror?.flushLsn ?? 0
  }

  #replayLsn(): Lsn {
    return this.#primary === undefined ? (this.#mirror?.replayLsn ?? 0) : this.#flushLsn()
  }

  #party(): Party {
    const { clusterId, dbid, content } = this
    return { clusterId, kind: 'instance', dbid, content, name: this.#assignment.hostname }
  }
}

function samePeer(a: Peer | null, b: Peer): boolean {
  return a !== null && JSON.stringify(a) === JSON.stringify(b)
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
