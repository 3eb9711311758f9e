/**
 * What the steps of an instance's life have in common: its role, its promises on disk, its two sides, and small questions about them.
 *
 * Made by the instance actor, which is the only owner; the steps beside this file change it. A step that leads to another one asks for it by
 * `turns`, so that no step knows who performs the next.
 */
import type { EnginePort } from '@mirabelle/engine'
import {
  formatLsn,
  MirabelleError,
  settingsFrom,
  type Assignment,
  type Content,
  type CopyState,
  type Dbid,
  type Lsn,
  type Settings,
  type SettingTexts,
  type Timeline,
} from '@mirabelle/messages'
import type { Hello, Listener, Logger, Party, Ports, Purpose } from '@mirabelle/runtime'
import type { InstanceHooks, InstanceOptions, WalParts } from '../instance-options.ts'
import type { MirrorSide } from '../mirror/mirror-side.actor.ts'
import type { PrimarySide } from '../primary/primary-side.actor.ts'
import { DiskSpace } from '../probe/disk-space.ts'
import type { RoleEvent, RoleState } from '../role/instance-role.machine.ts'
import { RoleDecider } from '../role/role-decider.ts'
import type { DurableState } from '../state/durable-state.ts'
import { pgWalDir, receivedWalDir } from '../state/layout.ts'
import { realWalParts } from '../wal-parts.ts'
import { EngineLimits } from './engine-limits.ts'

/** Turns that a life can take, whoever notices that it has to. */
export interface Turns {
  /** A promise cannot be kept any more. */
  fail(cause: unknown): void
  /** Somebody else rules. */
  fence(reason: MirabelleError): void
  /** A mirror cannot follow its primary: a copy, or nothing but to say so. */
  recover(why: string, reason?: MirabelleError): void
  /** The state has become `promoting`. */
  promote(): void
}

export class InstanceCore {
  readonly options: InstanceOptions
  readonly turns: Turns
  readonly clusterId: string
  readonly dbid: Dbid
  readonly content: Content
  readonly datadir: string
  readonly hooks: InstanceHooks
  readonly log: Logger
  readonly ports: Ports
  readonly engine: EnginePort
  readonly wal: WalParts
  readonly role: RoleDecider
  readonly limits: EngineLimits
  readonly diskSpace: DiskSpace
  /** Wall clock, ms. */
  readonly startedAt: number
  assignment: Assignment
  settings: Settings
  /** What was promised and recorded; undefined until the folder is open. */
  durableIfOpen: DurableState | undefined
  systemIdentifier = ''
  listener: Listener | undefined
  primary: PrimarySide | undefined
  mirror: MirrorSide | undefined
  /** Generation of the backend when it was last started by the instance. */
  generation = 0
  /** What a copy is doing: for people, and for programs. */
  detail = ''
  copyState: CopyState | null = null
  copyAbort: AbortController | undefined

  constructor(options: InstanceOptions, turns: Turns) {
    const { assignment, ports } = options
    this.options = options
    this.turns = turns
    this.clusterId = options.clusterId
    this.dbid = assignment.dbid
    this.content = assignment.content
    this.datadir = assignment.datadir
    this.hooks = options.hooks
    this.log = ports.log.child({ dbid: assignment.dbid, content: assignment.content })
    this.ports = { ...ports, log: this.log }
    this.engine = options.engine
    this.wal = options.wal ?? realWalParts
    this.role = new RoleDecider(assignment.role)
    this.limits = new EngineLimits(options.engine, ports.clock, this.log, this.dbid)
    this.diskSpace = new DiskSpace(this.ports, this.datadir)
    this.startedAt = ports.clock.now()
    this.assignment = assignment
    this.settings = this.#understood(assignment.settings)
  }

  get state(): RoleState {
    return this.role.state
  }

  /** Throws `not.ready` before the folder is open. */
  get durable(): DurableState {
    if (this.durableIfOpen === undefined)
      throw new MirabelleError('not.ready', `dbid ${this.dbid} is starting`)
    return this.durableIfOpen
  }

  get timeline(): Timeline {
    return this.primary?.timeline ?? this.mirror?.timeline ?? this.role.timeline
  }

  get flushLsn(): Lsn {
    return this.primary?.gate.localLsn ?? this.mirror?.flushLsn ?? 0
  }

  get replayLsn(): Lsn {
    return this.primary === undefined ? (this.mirror?.replayLsn ?? 0) : this.flushLsn
  }

  get walFolders(): readonly string[] {
    return [pgWalDir(this.datadir), receivedWalDir(this.datadir)]
  }

  party(): Party {
    const { clusterId, dbid, content } = this
    return { clusterId, kind: 'instance', dbid, content, name: this.assignment.hostname }
  }

  /** What the instance says first on a connection that it opens. */
  hello(purpose: Purpose): Hello {
    return { ...this.party(), purpose, epoch: this.durableIfOpen?.epoch ?? 0 }
  }

  /** The role machine hears of an event; a change of state is logged and told to the owner. */
  decide(event: RoleEvent): void {
    const change = this.role.decide(event)
    if (change === undefined) return
    const { from, to, reason, sentence } = change
    const { timeline } = this
    this.log.info({ from, event: event.type, to, reason, lsn: formatLsn(this.flushLsn), timeline }, sentence)
    this.hooks.onRole?.({ from, to, reason })
  }

  /** Writes an assignment down, then acts on it. */
  async assign(next: (held: Assignment) => Assignment): Promise<void> {
    await this.durable.setAssignment((held) => next(held ?? this.assignment))
    this.actOn(this.durable.assignment ?? this.assignment)
  }

  /** An assignment that is written down already. */
  actOn(assignment: Assignment): void {
    this.assignment = assignment
    this.settings = this.#understood(assignment.settings)
  }

  #understood(texts: SettingTexts): Settings {
    return settingsFrom(texts, (error) => this.log.warn({ err: error }, 'a setting keeps its default'))
  }
}
