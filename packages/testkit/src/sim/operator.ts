/**
 * The administrator of a simulated cluster: starts what should run, recovers what is marked down, starts the coordinator again or activates the standby. Works
 * with messages only, as the command line does; tries again when something did not work.
 */
import { stateDir } from '@mirabelle/instance'
import { isMirabelleError, type Assignment, type Message, type SegmentRow } from '@mirabelle/messages'
import type { SimCluster } from './sim-cluster.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import { AGENT_PORT, initialCatalog } from './sim-layout.ts'
import type { SimRandom } from './sim-random.ts'

export class SimOperator {
  readonly #cluster: SimCluster
  readonly #random: SimRandom
  readonly #rows: readonly SegmentRow[]
  #nextMs = 0
  #attends = false
  /**
   * The standby has refused to take over because it lacks something. When the old coordinator is not obeyed any more either (its segments have promised an
   * epoch that nobody took up), only a human can decide: whether what is lacking may be lost (`--force`).
   */
  standbyIsStale = false
  /** The standby has been told to take over: the old coordinator is not started any more on purpose. */
  #activated = false

  constructor(cluster: SimCluster, random: SimRandom) {
    this.#cluster = cluster
    this.#random = random
    this.#rows = initialCatalog(cluster.layout).rows
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
    if (coordinator === undefined || topology === undefined) return this.#bringCoordinator()
    const own = topology.row(coordinator.instance.dbid)
    if (own?.role === 'p' && own.dbid !== this.#rows[0]?.dbid) this.#activated = true
    const { host } = coordinator.process
    if (this.#isOvertaken(topology.epoch)) return this.#stopForStandby(coordinator)
    const down = topology.rows().some((row) => row.content >= 0 && row.status === 'd')
    const { port } = coordinator.instance
    cluster.tell(host, port, { type: 'cluster.start' })
    if (down)
      cluster.tell(host, port, { type: 'cluster.recover', mode: 'auto', dbids: null, timeoutMs: 10_000 })
  }

  /**
   * An activation of the standby was begun and refused in the middle: a segment obeys an epoch that nobody has, so that the coordinator cannot start it as mirror any
   * more. Its log says so; the standby has to take over.
   */
  #isOvertaken(epoch: number): boolean {
    const running = this.#cluster.running
    return this.#rows.some((row) => row.content >= 0 && !running.has(row.dbid) && this.#epochOf(row) > epoch)
  }

  /** In good order, so that the standby has everything, unless the standby has taken over before and this one did not hear of it. */
  #stopForStandby({ instance, process }: SimCoordinator): void {
    const standby = this.#rows.find((row) => row.content === -1 && row.role === 'm')
    if (standby === undefined || standby.dbid === instance.dbid) return
    this.#activated ||= this.#stateOf(standby, 'role.json') === 'p'
    if (!this.#activated && !this.#cluster.running.has(standby.dbid)) return
    const mode = this.#activated ? 'immediate' : 'fast'
    this.#cluster.tell(process.host, AGENT_PORT, { type: 'agent.stop', dbid: instance.dbid, mode })
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
    else if (drawn < 0.55) ask({ type: 'cluster.recover', mode, dbids: null, timeoutMs: 10_000 })
    else if (drawn < 0.65) ask({ type: 'standby.resync', mode })
    else if (drawn < 0.75)
      ask({ type: 'host.stop', hostname, mode: random.pick(['smart', 'fast', 'immediate']), look: false })
    else if (drawn < 0.85) this.#stopOne(random)
    else if (drawn < 0.9) ask({ type: 'cluster.stop', mode: random.pick(['fast', 'immediate']) })
    else ask({ type: 'cluster.config', change: { gp_fts_probe_retries: random.pick(['2', '5', null]) } })
  }

  /** Ends an instance, or all of a host, through the agent. */
  #stopOne(random: SimRandom): void {
    const row = random.pick(this.#rows)
    const agent = this.#cluster.agentOf(row.hostname)
    if (agent === undefined) return
    const mode = random.pick(['smart', 'fast', 'immediate'] as const)
    this.#cluster.tell(
      agent.host,
      AGENT_PORT,
      random.chance(0.7) ? { type: 'agent.stop', dbid: row.dbid, mode } : { type: 'agent.shutdown', mode },
    )
  }

  /** The standby coordinator is asked to take over. */
  activate(): void {
    const standby = this.#rows.find((row) => row.content === -1 && row.role === 'm')
    if (standby === undefined) return
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
    const rows = this.#rows.filter((row) => row.content === -1)
    const [first, standby] = rows
    if (first === undefined) return
    // An instance of content -1 that acts, or is about to, is left alone.
    for (const { dbid } of rows) {
      const one = running.get(dbid)
      const state = one?.instance.roleState
      if (one !== undefined && (state === 'primary' || state === 'promoting' || state === 'starting')) return
    }
    this.#startSegments()
    if (standby !== undefined && this.#activated) return this.#startAs(standby, 'p')
    // Which of the two ruled last is not known when neither runs: the one that may not will say so.
    if (standby === undefined || this.#random.chance(0.5)) return this.#startAs(first, 'p')
    if (running.has(standby.dbid)) this.activate()
    else this.#startAs(standby, 'm')
  }

  /** Without a coordinator: as they ran last, by their agents. What they may do then their own promises say. */
  #startSegments(): void {
    const cluster = this.#cluster
    for (const row of this.#rows) {
      if (row.content < 0 || cluster.running.has(row.dbid)) continue
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
    const agent = this.#cluster.agentOf(row.hostname)
    if (agent === undefined) return
    const rows = this.#activated
      ? catalog.rows.filter((one) => one.content >= 0 || one.dbid === row.dbid)
      : catalog.rows
    this.#cluster.startCoordinator(row, role, { ...catalog, rows, epoch: this.#epochOf(row) })
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
