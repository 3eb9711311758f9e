/**
 * The administrator of a simulated cluster: starts what should run, recovers what is marked down, starts the coordinator again or activates the standby. Works
 * with messages only, as the command line does; tries again when something did not work.
 */
import { stateDir } from '@mirabelle/instance'
import {
  isMirabelleError,
  type Assignment,
  type Message,
  type MessageOf,
  type SegmentRow,
} from '@mirabelle/messages'
import { initStandby, recover, removeStandby, type Coordinators } from './command-line.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import { AGENT_PORT, initialCatalog } from './sim-layout.ts'
import type { SimRandom } from './sim-random.ts'

type StopMode = MessageOf<'agent.stop'>['mode']

/** So long a standby that does not run is left to `start`, ms. */
const RESYNC_AFTER_MS = 3_000

export class SimOperator {
  readonly #cluster: SimCluster
  readonly #random: SimRandom
  /** Rows of the segments: they stay where they are. */
  readonly #segments: readonly SegmentRow[]
  readonly #known: Coordinators
  /** Highest epoch of a coordinator that was seen to act. */
  #epoch = 0
  /** Since when the standby is not there, or cannot follow. */
  #standbyGoneMs = Number.POSITIVE_INFINITY
  #nextMs = 0
  #attends = false
  /**
   * The standby has refused to take over because it lacks something. When the old coordinator is not obeyed any more either (its segments have promised an
   * epoch that nobody took up), only a human can decide: whether what is lacking may be lost (`--force`).
   */
  standbyIsStale = false

  constructor(cluster: SimCluster, random: SimRandom) {
    this.#cluster = cluster
    this.#random = random
    const { rows } = initialCatalog(cluster.layout)
    const [acting, standby] = rows.filter(({ content }) => content === -1) as [SegmentRow, SegmentRow?]
    this.#segments = rows.filter(({ content }) => content >= 0)
    this.#known = {
      acting,
      standby: standby ?? null,
      before: standby === undefined ? [acting] : [acting, standby],
      lastDbid: rows.length,
    }
  }

  /** All instances, as far as the administrator knows. */
  get #rows(): readonly SegmentRow[] {
    const { acting, standby } = this.#known
    return [acting, ...this.#segments, ...(standby === null ? [] : [standby])]
  }

  /** The standby coordinator, as far as the administrator knows. */
  get standby(): SegmentRow | null {
    return this.#known.standby
  }

  /** Looks after the cluster every now and then, from now on. */
  attend(everyMs: () => number): void {
    this.#attends = true
    const look = (): void => {
      if (!this.#attends) return
      this.tend()
      this.#cluster.world.schedule(everyMs(), undefined, look)
    }
    this.#cluster.world.schedule(everyMs(), undefined, look)
  }

  /** Looks no more. */
  rest(): void {
    this.#attends = false
  }

  /** Does what is to be done now. */
  tend(): void {
    const cluster = this.#cluster
    if (cluster.world.nowMs < this.#nextMs) return
    this.#nextMs = cluster.world.nowMs + 700
    for (const name of cluster.hosts.keys()) cluster.startAgent(name)
    const coordinator = cluster.coordinator()
    const topology = coordinator?.service?.topology
    // One that has been replaced and does not know it yet is none.
    if (coordinator === undefined || topology === undefined || topology.epoch < this.#epoch)
      return this.#bringCoordinator()
    const own = topology.row(coordinator.instance.dbid)
    if (own?.role === 'p') this.#remember(own)
    this.#epoch = topology.epoch
    const { host } = coordinator.process
    if (this.#isOvertaken(topology.epoch)) return this.#stopForStandby(coordinator)
    const down = topology.rows().some((row) => row.content >= 0 && row.status === 'd')
    const { port } = coordinator.instance
    cluster.tell(host, port, { type: 'cluster.start' })
    if (down) this.recover('auto')
    // One that was removed, used up by an activation, or whose making was interrupted.
    const standby = topology.mirror(-1)
    if (
      (standby === undefined || standby.status === 'd') &&
      cluster.layout.standby &&
      this.#random.chance(0.5)
    )
      this.#initStandby(coordinator, null)
    else if (standby?.status === 'u') this.#lookAfterStandby(coordinator, standby.dbid)
  }

  /** A standby that `start` does not bring back, because its removal was interrupted or it cannot follow: `standby resync`. */
  #lookAfterStandby({ instance, process }: SimCoordinator, dbid: number): void {
    const { running, world } = this.#cluster
    const state = running.get(dbid)?.instance.roleState
    if (state !== undefined && state !== 'unfit') this.#standbyGoneMs = Number.POSITIVE_INFINITY
    else if (this.#standbyGoneMs === Number.POSITIVE_INFINITY) this.#standbyGoneMs = world.nowMs
    if (world.nowMs - this.#standbyGoneMs < RESYNC_AFTER_MS) return
    this.#standbyGoneMs = Number.POSITIVE_INFINITY
    this.#cluster.tell(process.host, instance.port, { type: 'standby.resync', mode: 'auto' })
  }

  /** Who acts as coordinator; an activation leaves no standby. */
  #remember(acting: SegmentRow): void {
    if (this.#known.acting.dbid === acting.dbid) return
    this.#known.acting = acting
    this.#known.standby = null
  }

  #initStandby({ instance, process }: SimCoordinator, host: string | null): void {
    this.#cluster.command(process.host, instance.port, 'standby init', (ask) =>
      initStandby(ask, this.#known, host),
    )
  }

  /**
   * An activation of the standby was begun and refused in the middle: a segment obeys an epoch that nobody has, so that the coordinator cannot start it as mirror any
   * more. Its log says so; the standby has to take over.
   */
  #isOvertaken(epoch: number): boolean {
    const { running } = this.#cluster
    return this.#segments.some((row) => !running.has(row.dbid) && this.#epochOf(row) > epoch)
  }

  /** In good order, so that the standby has everything, unless the standby has taken over before and this one did not hear of it. */
  #stopForStandby({ instance, process }: SimCoordinator): void {
    const { standby } = this.#known
    if (standby === null || standby.dbid === instance.dbid) return
    const hasTakenOver = this.#hasTakenOver(standby)
    if (!hasTakenOver && !this.#cluster.running.has(standby.dbid)) return
    const mode = hasTakenOver ? 'immediate' : 'fast'
    if (hasTakenOver) this.#remember(standby)
    this.#cluster.tell(process.host, AGENT_PORT, { type: 'agent.stop', dbid: instance.dbid, mode })
  }

  #hasTakenOver(standby: SegmentRow): boolean {
    return this.#stateOf(standby, 'role.json') === 'p'
  }

  /** Brings mirrors that are marked down back. */
  recover(mode: MessageOf<'mirrors.plan'>['mode']): void {
    const coordinator = this.#cluster.coordinator()
    if (coordinator === undefined) return
    const { instance, process } = coordinator
    this.#cluster.command(process.host, instance.port, 'recover', (ask) => recover(ask, mode))
  }

  /** One of the commands that an administrator may give at any time, to whoever acts as coordinator. */
  command(random: SimRandom): void {
    const cluster = this.#cluster
    const coordinator = cluster.coordinator()
    if (coordinator === undefined) return
    const { host } = coordinator.process
    const ask = (message: Message): void => cluster.tell(host, coordinator.instance.port, message)
    const limits = { laneTimeoutMs: random.pick([50, 1_000, 5_000]), timeoutMs: 10_000 }
    const hostname = random.pick([...cluster.hosts.keys()])
    const mode = random.pick(['full', 'differential', 'incremental', 'auto'] as const)
    const drawn = random.next()
    if (drawn < 0.2) ask({ type: 'cluster.rebalance', ...limits })
    else if (drawn < 0.4) ask({ type: 'host.drain', hostname, ...limits })
    else if (drawn < 0.55) this.recover(mode)
    else if (drawn < 0.61) ask({ type: 'standby.resync', mode })
    else if (drawn < 0.65) this.#changeStandby(coordinator, random.chance(0.3) ? hostname : null)
    else if (drawn < 0.75)
      ask({ type: 'host.stop', hostname, mode: random.pick(['smart', 'fast', 'immediate']), look: false })
    else if (drawn < 0.85) this.#stopSome(random)
    else if (drawn < 0.9) ask({ type: 'cluster.stop', mode: random.pick(['fast', 'immediate']) })
    else this.configure(random)
  }

  /** Starts what should run. */
  start(): void {
    this.#ask({ type: 'cluster.start' })
  }

  /** Changes settings. */
  configure(
    random: SimRandom,
    change: MessageOf<'cluster.config'>['change'] = { gp_fts_probe_retries: random.pick(['2', '5', null]) },
  ): void {
    this.#ask({ type: 'cluster.config', change })
  }

  #ask(message: Message): void {
    const coordinator = this.#cluster.coordinator()
    if (coordinator !== undefined)
      this.#cluster.tell(coordinator.process.host, coordinator.instance.port, message)
  }

  /** Removes the standby; makes one when there is none. */
  #changeStandby(coordinator: SimCoordinator, host: string | null): void {
    const { instance, process, service } = coordinator
    if (service?.topology.mirror(-1)?.status !== 'u') return this.#initStandby(coordinator, host)
    this.#cluster.command(process.host, instance.port, 'standby remove', (ask) =>
      removeStandby(ask, this.#known),
    )
  }

  /** Ends an instance, or all of a host, through the agent. */
  #stopSome(random: SimRandom): void {
    const row = random.pick(this.#rows)
    const mode = random.pick(['smart', 'fast', 'immediate'] as const)
    if (random.chance(0.7)) return this.stopOne(row, mode)
    this.#askAgent(row.hostname, { type: 'agent.shutdown', mode })
  }

  /** Ends an instance through the agent. */
  stopOne({ dbid, hostname }: Pick<SegmentRow, 'dbid' | 'hostname'>, mode: StopMode): void {
    this.#askAgent(hostname, { type: 'agent.stop', dbid, mode })
  }

  #askAgent(hostname: string, message: Message): void {
    const agent = this.#cluster.agentOf(hostname)
    if (agent !== undefined) this.#cluster.tell(agent.host, AGENT_PORT, message)
  }

  /** The standby coordinator is asked to take over. */
  activate(): void {
    const { standby } = this.#known
    if (standby === null) return
    this.#cluster.tell(
      this.#cluster.host(standby.hostname),
      standby.port,
      { type: 'standby.activate', force: false },
      (error) => {
        if (isMirabelleError(error, 'standby.stale')) this.standbyIsStale = true
      },
    )
  }

  #bringCoordinator(): void {
    const cluster = this.#cluster
    const { running } = cluster
    const { acting, standby } = this.#known
    // An instance of content -1 that acts, or is about to, is left alone.
    for (const row of [acting, standby]) {
      const one = row === null ? undefined : running.get(row.dbid)
      const state = one?.instance.roleState
      if (one !== undefined && (state === 'primary' || state === 'promoting' || state === 'starting')) return
    }
    this.#startSegments()
    // Which of the two ruled last is not known when neither runs: the one that may not will say so.
    if (standby === null || this.#random.chance(0.5)) return this.#startAs(acting, 'p')
    if (running.has(standby.dbid)) this.activate()
    else this.#startAs(standby, 'm')
  }

  /** Without a coordinator: as they ran last, by their agents. What they may do then their own promises say. */
  #startSegments(): void {
    const cluster = this.#cluster
    for (const row of this.#segments) {
      if (cluster.running.has(row.dbid)) continue
      const agent = cluster.agentOf(row.hostname)
      const file = cluster.host(row.hostname).files.file(`${stateDir(row.datadir)}/assignment.json`)
      if (agent === undefined || file === undefined) continue
      const assignment = JSON.parse(new TextDecoder().decode(file.content)) as Assignment
      const epoch = Math.max(assignment.epoch, this.#epochOf(row))
      cluster.tell(agent.host, AGENT_PORT, { type: 'agent.start', assignment: { ...assignment, epoch } })
    }
  }

  #startAs(row: SegmentRow, role: 'p' | 'm'): void {
    const catalog = initialCatalog(this.#cluster.layout)
    this.#cluster.startCoordinator(row, role, { ...catalog, rows: this.#rows, epoch: this.#epochOf(row) })
  }

  /** What the instance has promised, as its folder says. */
  #epochOf(row: SegmentRow): number {
    return (this.#stateOf(row, 'epoch.json') as number | undefined) ?? 1
  }

  #stateOf(row: SegmentRow, name: string): unknown {
    const file = this.#cluster.host(row.hostname).files.file(`${stateDir(row.datadir)}/${name}`)
    if (file === undefined) return undefined
    return (JSON.parse(new TextDecoder().decode(file.content)) as { value: unknown }).value
  }
}
