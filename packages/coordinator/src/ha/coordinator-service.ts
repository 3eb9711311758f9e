/**
 * What makes an instance of content -1 the acting coordinator: catalog, lanes, FTS, links, administration.
 *
 * Made by the coordinator actor when its instance has become primary (at start, or by an activation); ended when the instance stops,
 * fails, or is superseded by a higher epoch. Promise: it dispatches nothing before the segments that can be reached have promised its
 * epoch, and each lane opens only when the prepared transactions found there are resolved.
 */
import { createFtsProber, type FtsProber } from '@mirabelle/fts'
import {
  isMirabelleError,
  MirabelleError,
  type ActionResult,
  type Content,
  type Dbid,
  type Message,
  type MessageOf,
  type Peer,
} from '@mirabelle/messages'
import { withTimeout, type Hello, type Ports, type Responder } from '@mirabelle/runtime'
import type { WalSenderState } from '@mirabelle/wal'
import type { CatalogStore, ClusterSnapshot } from '../catalog/cluster-catalog.ts'
import { Dispatcher } from '../dispatcher.ts'
import type { OpenBackend } from '../lanes/lane-backend.ts'
import { openRemoteBackend } from '../lanes/remote-backend.ts'
import { agentIsUp } from './host-boot.ts'
import { assignmentFor } from './assignments.ts'
import { markStandby, startInstances, stopInstances, type AdminSources } from './cluster-admin.ts'
import type { StateSources } from './cluster-state.ts'
import { ClusterSettings } from './cluster-settings.ts'
import { holdWhileStarting } from './hold-while-starting.ts'
import { proveEpoch, takePromises } from './prove-epoch.ts'
import { reclaim } from './reclaim.ts'
import { SegmentLinks } from './segment-links.ts'
import { SettingsSpread } from './settings-spread.ts'
import { peerOf } from './standby-admin.ts'
import { loadOrInitialise, recordActivation } from './take-role.ts'
import { Topology } from './topology.ts'
import { LiveStateCollector } from '../views/live-state.ts'
import type { LiveState } from '../views/live-views.ts'
import { Administration } from './administration.ts'

const PROMISE_TIMEOUT_MS = 1_000
const CONNECT_TIMEOUT_MS = 1_000
const LANE_SILENCE_MS = 2_000
/** How long a stop of the cluster waits for a change of roles to be recorded, ms. */
const RECORD_LIMIT_MS = 2_000

export interface ServiceOptions {
  readonly ports: Ports
  readonly ownDbid: number
  /** It is activated now: the epoch rises, also when an activation that was interrupted has changed the catalog already. */
  readonly takesOver?: boolean
  /** An administrator says that whoever was promised a higher epoch is lost: see `reclaim`. */
  readonly reclaims?: boolean
  /** Nobody asked for its start: it must be certain that no other coordinator rules before it serves. */
  readonly proveEpoch?: boolean
  readonly version: string
  readonly store: CatalogStore
  /** The coordinator's own lane. */
  readonly openLocal: OpenBackend
  readonly ownStatus: () => MessageOf<'instance.statusIs'>
  readonly lookAtOwnDisk?: () => Promise<void>
  /** Highest epoch that this instance has promised, and a way to promise more (durable). */
  readonly promisedEpoch: () => number
  readonly promiseEpoch: (epoch: number) => Promise<void>
  /** Tells the own instance who its standby is (durable). Without it the standby cannot be changed. */
  readonly setPeer?: (peer: Peer | null) => Promise<void>
  /** The next that is waited for are others: whoever has something to do with this instance's PostgreSQL meanwhile begins it. */
  readonly whileOthersPromise?: () => void
  /** The own instance keeps and obeys these settings (durable); older ones than it has change nothing. */
  readonly configureOwn?: (texts: Readonly<Record<string, string>>) => Promise<void>
  /** A coordinator of a higher epoch exists: this one must end. Called once. */
  readonly onSuperseded: (reason: string) => void
  /** A cluster without mirrors lost a segment and its policy is to shut down. */
  readonly onShutdownNeeded: (reason: string) => void
}

export class CoordinatorService {
  readonly dispatcher: Dispatcher
  readonly topology: Topology
  readonly fts: FtsProber
  readonly links: SegmentLinks
  readonly settings: ClusterSettings
  readonly incarnation: string
  readonly #options: ServiceOptions
  readonly #spread: SettingsSpread
  readonly #live: LiveStateCollector
  readonly #administration: Administration
  /** Instances that this coordinator has started at its own start. */
  #starting: ReadonlySet<Dbid> = new Set()
  #superseded = false
  #closed = false

  private constructor(options: ServiceOptions, topology: Topology) {
    const { ports } = options
    this.#options = options
    this.topology = topology
    this.#live = new LiveStateCollector(ports.clock)
    this.incarnation = ports.random.hex(6)
    this.links = new SegmentLinks({
      ports,
      topology,
      hello: () => this.hello('control'),
      onDeath: (certificate) => {
        ports.log.info(
          { dbid: certificate.dbid, content: certificate.content, pid: certificate.pid },
          'death certificate',
        )
        this.fts.notify({ kind: 'death', dbid: certificate.dbid, pid: certificate.pid })
      },
      onInstanceLost: (dbid, reason) => {
        this.fts.notify({
          kind: reason.code === 'connection.silent' ? 'connection-silent' : 'connection-lost',
          dbid,
        })
      },
      onAgentUp: (hostname) => void agentIsUp(hostname, this.#admin),
      onInstanceUp: (dbid) => this.#spread.reached(dbid),
    })
    this.#spread = new SettingsSpread({
      topology,
      links: this.links,
      clock: ports.clock,
      log: ports.log,
      ownDbid: options.ownDbid,
      configureOwn: options.configureOwn ?? (() => Promise.resolve()),
      onSuperseded: (reason) => this.#supersede(reason),
    })
    this.dispatcher = new Dispatcher({
      ports,
      contents: [-1, ...topology.contents],
      incarnation: this.incarnation,
      failoverTimeoutMs: () => topology.settings.failover_timeout,
      onLaneLost: (content, reason) => {
        this.#laneLost(content, reason)
      },
    })
    this.fts = createFtsProber({
      ports: { clock: ports.clock, log: ports.log.child({ actor: 'fts' }) },
      catalog: topology,
      transport: this.links,
      settings: () => topology.settings,
      onTopologyChange: (content) => this.#aimAnew(content),
      onHealthChange: (state) => {
        if (state.health === 'double-fault' || state.health === 'down') {
          this.dispatcher.setUnavailable(
            state.content,
            new MirabelleError(
              'content.unavailable',
              `content ${state.content} is unavailable: ${state.health === 'down' ? 'its segment is down and has no mirror' : 'its primary is down and its mirror cannot take over'}`,
            ),
          )
        } else this.dispatcher.setAvailable(state.content)
      },
      onShutdownNeeded: (content, reason) => options.onShutdownNeeded(`content ${content}: ${reason}`),
      onSuperseded: (reason) => {
        this.#supersede(reason)
      },
    })
    this.settings = new ClusterSettings(topology, this.#spread, this.fts)
    this.#administration = new Administration({
      settings: this.settings,
      admin: () => this.#admin,
      state: () => this.#stateSources,
      fts: this.fts,
      dispatcher: this.dispatcher,
      setPeer: options.setPeer,
      aim: (content) => this.#aimAnew(content),
      rowsChanged: () => this.#rowsChanged(),
    })
  }

  /**
   * Loads the catalog, which also says who the standby is, and takes up the role: as the coordinator that the catalog names, or, when the catalog still calls this instance the
   * standby, as the one that takes over. `initial` fills the catalog of a new cluster. Rejects when this instance may not be coordinator.
   */
  static async begin(
    options: ServiceOptions,
    initial: ClusterSnapshot | undefined,
    runSql: (sql: string) => Promise<unknown>,
  ): Promise<CoordinatorService> {
    const snapshot = await loadOrInitialise(options.store, initial, runSql)
    const topology = new Topology(snapshot, options.store)
    const takesOver = options.takesOver === true || topology.row(options.ownDbid)?.role === 'm'
    if (takesOver) {
      // A start after an interrupted activation may name the old coordinator as standby: the change of the catalog must not wait for it.
      await options.setPeer?.(null)
      await recordActivation(options, topology)
    } else {
      if (options.reclaims === true)
        await reclaim({ ...options, hello: helloOf(options, topology) }, topology)
      if (options.promisedEpoch() > topology.epoch)
        throw new MirabelleError(
          'epoch.stale',
          `Standby activated, this node no more can act as coordinator (epoch ${topology.epoch}, promised ${options.promisedEpoch()})`,
        )
      await options.promiseEpoch(topology.epoch)
      await options.setPeer?.(peerOf(topology.mirror(-1)))
    }
    const service = new CoordinatorService(options, topology)
    options.whileOthersPromise?.()
    try {
      await service.#spread.configureOwn()
      if (options.proveEpoch === true) await proveEpoch(service.#admin, () => service.#closed)
      else await takePromises(service.#admin)
    } catch (error) {
      await service.close(
        isMirabelleError(error) ? error : new MirabelleError('internal', String(error), { cause: error }),
      )
      throw error
    }
    return service
  }

  hello(purpose: Hello['purpose']): Hello {
    return { ...helloOf(this.#options, this.topology), purpose }
  }

  /** Opens the lanes: from here on statements run. Called once, when everything around it is plugged together. */
  openLanes(): void {
    this.dispatcher.setPrimary(-1, 'local', this.#options.openLocal)
    for (const content of this.topology.contents) this.#aim(content)
  }

  /** Starts FTS: from here on roles change. At the start of a cluster only after the instances had time to come up. */
  watch(): void {
    this.links.watchAgents()
    this.fts.start()
    void holdWhileStarting(this.#starting, {
      topology: this.topology,
      links: this.links,
      fts: this.fts,
      clock: this.#options.ports.clock,
      log: this.#options.ports.log,
    })
    // Control links stand all the time: their heartbeats are what notices a process that hangs.
    for (const row of this.topology.rows()) {
      if (row.dbid !== this.#options.ownDbid) this.links.watch(row)
    }
  }

  /** The roles of a content have changed. */
  #aimAnew(content: Content): void {
    this.#aim(content)
    this.#refreshStandbyTopology()
  }

  /** Instances have come or gone. */
  #rowsChanged(): void {
    for (const row of this.topology.rows()) {
      if (row.dbid !== this.#options.ownDbid) this.links.watch(row)
    }
    this.#refreshStandbyTopology()
  }

  /** Points the lane of a content at its acting primary. */
  #aim(content: Content): void {
    const row = this.topology.primary(content)
    if (row === undefined) return
    this.dispatcher.setPrimary(content, `dbid ${row.dbid}`, (events, nextSeq) =>
      openRemoteBackend(
        row,
        {
          ports: this.#options.ports,
          hello: () => this.hello('dispatch'),
          epoch: () => this.topology.epoch,
          incarnation: this.incarnation,
          connectTimeoutMs: CONNECT_TIMEOUT_MS,
          silenceTimeoutMs: LANE_SILENCE_MS,
        },
        events,
        nextSeq,
      ).catch((error: unknown) => {
        if (isMirabelleError(error, 'epoch.stale')) this.#supersede(error.message)
        throw error
      }),
    )
  }

  #laneLost(content: Content, reason: MirabelleError): void {
    const row = this.topology.primary(content)
    if (content >= 0 && row !== undefined) {
      this.fts.notify({
        kind: reason.code === 'connection.silent' ? 'connection-silent' : 'connection-lost',
        dbid: row.dbid,
      })
    }
  }

  #supersede(reason: string): void {
    if (this.#superseded || this.#closed) return
    this.#superseded = true
    this.#options.onSuperseded(reason)
  }

  /** Tells the standby who is who, so that it can be activated when this process is gone. Best effort: it is told again at each change. */
  #refreshStandbyTopology(): void {
    const standby = this.topology.mirror(-1)
    if (standby === undefined) return
    this.links
      .instance(standby)
      .request(
        { type: 'instance.assign', assignment: assignmentFor(this.topology, standby, 'm') },
        PROMISE_TIMEOUT_MS,
      )
      .catch((error: unknown) => {
        this.#options.ports.log.debug(
          { dbid: standby.dbid, err: error },
          'the standby could not be told the topology',
        )
      })
  }

  get #admin(): AdminSources {
    return {
      topology: this.topology,
      links: this.links,
      fts: () => this.fts,
      clock: this.#options.ports.clock,
      log: this.#options.ports.log,
      ownDbid: this.#options.ownDbid,
    }
  }
  get #stateSources(): StateSources {
    const { ports, ownDbid, ownStatus, lookAtOwnDisk, version } = this.#options
    return {
      topology: this.topology,
      links: this.links,
      fts: this.fts,
      clock: ports.clock,
      ownDbid,
      ownStatus,
      lookAtOwnDisk,
      inDoubt: () => this.dispatcher.registry.inDoubt(),
      version,
    }
  }

  /** Starts every instance that should run. */
  async startInstances(): Promise<ActionResult[]> {
    const results = await startInstances(this.#admin)
    this.#starting = new Set(results.filter(({ outcome }) => outcome === 'done').map(({ dbid }) => dbid))
    return results
  }
  stopInstances(mode: 'smart' | 'fast' | 'immediate') {
    return stopInstances(mode, this.#admin)
  }
  /** For the commit gate of content -1. */
  markStandby(stale: boolean): Promise<void> {
    return markStandby(stale, this.#admin)
  }

  /** Handles a message of a control connection; false when it is not for the coordinator. */
  control(message: Message, respond: Responder | undefined): boolean {
    const answer = this.#administration.answer(message)
    if (answer === undefined) return false
    answer.then(
      (reply) => {
        ;(respond as Responder | undefined)?.reply(reply as never)
      },
      (error: unknown) => respond?.fail(error),
    )
    return true
  }

  /** A walsender of the coordinator has changed its state. */
  streamIs(dbid: Dbid, state: WalSenderState): void {
    if (this.topology.mirror(-1)?.dbid !== dbid) return
    this.#live.standby.is(state === 'ended' ? 'down' : state === 'streaming' ? 'streaming' : 'catchup')
  }

  /** What the live views are filled from. */
  liveState(): Promise<LiveState> {
    return this.#live.collect(this.#stateSources, this.dispatcher)
  }

  /** Ends FTS, before the segments are stopped. A record that waits for a standby and segments that are gone is not waited for: it may never end. */
  async stopWatching(): Promise<void> {
    const { clock, log } = this.#options.ports
    const tooLong = () => new MirabelleError('timeout', `FTS still records after ${RECORD_LIMIT_MS} ms`)
    await withTimeout(clock, this.fts.stop(), RECORD_LIMIT_MS, tooLong).catch((error: unknown) =>
      log.warn({ err: error }, 'the segments are stopped although a change of the catalog is under way'),
    )
  }

  async close(reason: MirabelleError): Promise<void> {
    this.#closed = true
    this.#spread.close()
    const stopped = this.fts.stop()
    // Ends a record that is under way, too.
    this.dispatcher.close(reason)
    await stopped
    this.links.close()
  }
}

function helloOf({ ownDbid }: ServiceOptions, { clusterId, epoch }: Topology): Hello {
  const name = `coordinator dbid ${ownDbid}`
  return { clusterId, kind: 'instance', dbid: ownDbid, content: -1, name, purpose: 'control', epoch }
}
