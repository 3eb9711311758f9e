/**
 * One instance: a PostgreSQL behind the engine port, its role, and what that role owes to the rest of the cluster (architecture §2).
 *
 * Made by the process's main (through segment or coordinator) with its assignment; ends with `stop`, or by itself when a promise
 * cannot be kept any more; the hook `onEnd` is called once, and the process ends. Role decisions are the machine's; the steps that perform
 * them are in `life/`. Requests of others come in through `control/`; what a primary and a mirror do is in `primary/` and `mirror/`.
 */
import type { EnginePort } from '@mirabelle/engine'
import {
  COORDINATOR_CONTENT,
  MirabelleError,
  type Assignment,
  type Content,
  type Dbid,
  type Epoch,
  type MessageOf,
  type Settings,
  type SettingTexts,
  type Timeline,
} from '@mirabelle/messages'
import type { Hello, Logger, Purpose } from '@mirabelle/runtime'
import type { SettledKnown } from '@mirabelle/wal'
import { acceptConnection, superseded, type ConnectionSubject } from './control/connections.ts'
import type { StopMode } from './control/control.ts'
import type { CommitGate } from './gate/commit-gate.ts'
import type { InstanceHooks, InstanceOptions } from './instance-options.ts'
import { mirrorDbidOf, probedAs, statusOf } from './life/answers.ts'
import { configure, reassign } from './life/assigning.ts'
import { recover } from './life/copying.ts'
import { Ending } from './life/ending.ts'
import { EpochGuard } from './life/epoch-guard.ts'
import { InstanceCore } from './life/instance-core.ts'
import { promote } from './life/promotion.ts'
import { open, startInRole } from './life/starting.ts'
import type { PrimarySide } from './primary/primary-side.actor.ts'
import { DiskCheck } from './probe/disk-check.ts'
import type { RoleState } from './role/instance-role.machine.ts'
import type { DurableState } from './state/durable-state.ts'
import { diskCheckFile } from './state/layout.ts'

export class InstanceActor implements ConnectionSubject {
  readonly clusterId: string
  readonly dbid: Dbid
  readonly content: Content
  readonly hooks: InstanceHooks
  readonly log: Logger
  readonly engine: EnginePort
  readonly diskCheck: DiskCheck
  readonly #core: InstanceCore
  readonly #ending: Ending
  readonly #epochs: EpochGuard

  constructor(options: InstanceOptions) {
    const core = new InstanceCore(options, {
      fail: (cause) => this.fail(cause),
      fence: (reason) => this.fence(reason),
      recover: (why, reason) => recover(core, why, reason),
      promote: () => this.#promote(),
    })
    this.#core = core
    this.#ending = new Ending(core)
    this.clusterId = core.clusterId
    this.dbid = core.dbid
    this.content = core.content
    this.hooks = core.hooks
    this.engine = core.engine
    this.log = core.log
    this.diskCheck = new DiskCheck(options.ports, diskCheckFile(core.datadir))
    this.#epochs = new EpochGuard({
      dbid: this.dbid,
      content: this.content,
      log: this.log,
      durable: () => this.durable,
      mayRaise: (epoch, who) => this.#mayRaise(epoch, who),
      onRaised: async (epoch) => this.hooks.onEpochRaised?.(epoch),
      onFatal: (error) => this.fail(error),
    })
    this.engine.onWal = (chunk) => core.primary?.onWal(chunk)
    this.engine.onDeath = (error) => {
      const message = `PostgreSQL of dbid ${this.dbid} ended unexpectedly: ${error.message}`
      this.fail(new MirabelleError('engine.died', message, { cause: error }))
    }
  }

  // ---- what others see ---------------------------------------------------------------------------------------------------

  get roleState(): RoleState {
    return this.#core.state
  }
  get reason(): string {
    return this.#core.role.reason
  }
  /** What the instance has promised and recorded. Only after `start` has opened it. */
  get durable(): DurableState {
    return this.#core.durable
  }
  get primary(): PrimarySide | undefined {
    return this.#core.primary
  }
  /** The commit gate of a primary. */
  get gate(): CommitGate | undefined {
    return this.#core.primary?.gate
  }
  get systemIdentifier(): string {
    return this.#core.systemIdentifier
  }
  get assignment(): Assignment {
    return this.#core.assignment
  }
  /** Generation of the backend when it was last started by the instance. */
  get generation(): number {
    return this.#core.generation
  }
  get timeline(): Timeline {
    return this.#core.timeline
  }
  get epoch(): Epoch {
    return this.durable.epoch
  }
  /** Port of the listener, once it listens. */
  get port(): number {
    return this.#core.listener?.port ?? 0
  }
  /** The other half of the pair, as the instance was told; null without one. */
  get mirrorDbid(): Dbid | null {
    return mirrorDbidOf(this.#core)
  }
  settings(): Settings {
    return this.#core.settings
  }

  /** What the instance says first on a connection that it opens. */
  hello(purpose: Purpose): Hello {
    return this.#core.hello(purpose)
  }

  /** What a mirror, or the mirror that this primary was, knows of statements that took effect. */
  settledKnown(): SettledKnown | undefined {
    const { primary, mirror } = this.#core
    return primary?.hub.settledKnown() ?? mirror?.receiver?.settledKnown()
  }

  // ---- life ---------------------------------------------------------------------------------------------------------------

  /**
   * Starts in the assigned role. Resolves when the instance is primary or mirror, or is being copied; rejects, after `onEnd`, with why it
   * cannot run: `datadir.foreign`, `datadir.broken`, `datadir.locked`, `engine.died`, …
   */
  async start(): Promise<void> {
    try {
      await open(this.#core, (connection, hello) => acceptConnection(this, connection, hello))
      await startInRole(this.#core)
    } catch (error) {
      this.fail(error)
      throw error
    }
  }

  /** Ends in an orderly way. Resolves when PostgreSQL has ended; `onEnd` is called then. */
  stop(mode: StopMode): Promise<void> {
    return this.#ending.stop(mode)
  }

  /** A promise cannot be kept any more: nothing leaves after this, and the process is to end with a status other than 0. */
  fail(cause: unknown): void {
    this.#ending.fail(cause)
  }

  /** Somebody else rules: nothing is answered as primary any more, what waits fails. */
  fence(reason: MirabelleError): void {
    this.#ending.fence(reason)
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
    this.#core.decide({ type: 'promote' })
    if (before === 'mirror' && this.roleState === 'promoting') this.#promote()
  }

  probed(mirror: Dbid | null = this.mirrorDbid): MessageOf<'fts.probed'> {
    return probedAs(this.#core, mirror)
  }

  status(): MessageOf<'instance.statusIs'> {
    return statusOf(this.#core)
  }

  /** Learns how full the disk is, for `status`. Never rejects. */
  lookAtDisk(): Promise<void> {
    return this.#core.diskSpace.look()
  }

  /** The settings are these now. Older ones than it has change nothing. Resolves when they are durable and in force. */
  configure(settings: SettingTexts): Promise<void> {
    return configure(this.#core, settings)
  }

  /** The peer, the settings or the permitted recovery changed. An assignment that says mirror fences a primary. */
  reassign(assignment: Assignment): Promise<void> {
    return reassign(this.#core, assignment)
  }

  #promote(): void {
    promote(this.#core).catch((error: unknown) => this.fail(error))
  }

  /** A coordinator that hears of a higher epoch does not obey it: it has been replaced. */
  #mayRaise(epoch: Epoch, who: string): void {
    if (this.content !== COORDINATOR_CONTENT || this.roleState !== 'primary') return
    const error = superseded(this, epoch, who)
    this.fence(error)
    throw error
  }
}
