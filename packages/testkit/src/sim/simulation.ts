/**
 * One run of one seed: a cluster, clients, faults, an administrator, and at the end a cluster that must be whole again and a history that must be possible.
 */
import { faultKinds, Faults, planFaults, type FaultKind } from './faults.ts'
import { HistoryChecker } from './history-checker.ts'
import { SimOperator } from './operator.ts'
import { pgWalDir, receivedWalDir } from '@mirabelle/instance'
import { PromiseWatch } from './promise-watch.ts'
import { contentOf, dispatcherOf, idsIn, item, SimClient } from './sim-client.ts'
import { SimCluster, type SimOverrides } from './sim-cluster.ts'
import { KvStore } from './kv-store.ts'
import { defaultLayout, type SimLayout } from './sim-layout.ts'
import { recoverWal } from './sim-wal.ts'
import { SimFailure, SimWorld } from './sim-world.ts'

/** After the last fault the cluster must be whole within this simulated time. */
const HEAL_MS = 60_000
const NO_COORDINATOR = 'there is no coordinator'
const MAX_STEPS = 100_000
/** The cluster counts as whole when it has been so for this time. */
const STAYS_GOOD_MS = 1_000

export interface SimulationOptions {
  readonly seed: number
  readonly trace?: boolean
  readonly layout?: SimLayout
  /** Only these faults. */
  readonly faults?: readonly FaultKind[]
  /** Something is broken on purpose; made anew for each run. */
  readonly overrides?: () => SimOverrides
}

export interface SimulationResult {
  readonly seed: number
  readonly simulatedMs: number
  readonly steps: number
  readonly failure: SimFailure | undefined
  /** It ended where only a human may go on: the standby lacks something and the old coordinator is not obeyed any more. */
  readonly undecided: boolean
  readonly story: readonly string[]
  readonly counts: HistoryChecker['counts']
}

/** Runs a seed to its end or to its first broken promise. Never rejects. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const world = new SimWorld(options.seed, { trace: options.trace === true })
  const history = new HistoryChecker()
  const rejections: unknown[] = []
  const onRejection = (error: unknown): void => void rejections.push(error)
  process.on('unhandledRejection', onRejection)
  let failure: SimFailure | undefined
  let undecided = false
  try {
    const simulation = new Simulation(world, history, options)
    await simulation.run()
    undecided = simulation.undecided
  } catch (error) {
    failure = error instanceof SimFailure ? error : new SimFailure('uncaught', String(error), error)
  }
  // Node tells of rejections once the queue of ticks is empty.
  await new Promise((resolve) => setImmediate(resolve))
  process.off('unhandledRejection', onRejection)
  if (failure === undefined && rejections.length > 0)
    failure = new SimFailure(
      'uncaught',
      `a promise was rejected and nobody cared: ${String(rejections[0])}`,
      rejections[0],
    )
  if (failure !== undefined) world.trace.add('FAILURE', failure.message)
  return {
    seed: options.seed,
    simulatedMs: world.nowMs,
    steps: world.steps,
    failure,
    undecided,
    story: world.trace.lines,
    counts: history.counts,
  }
}

class Simulation {
  readonly #world: SimWorld
  readonly #history: HistoryChecker
  readonly #cluster: SimCluster
  readonly #faults: Faults
  readonly #operator: SimOperator
  readonly #options: SimulationOptions
  #clients: SimClient[] = []
  undecided = false

  constructor(world: SimWorld, history: HistoryChecker, options: SimulationOptions) {
    this.#world = world
    this.#history = history
    this.#options = options
    const random = world.random
    const settings: Record<string, string> = {
      gp_fts_probe_interval: random.pick(['1000ms', '5000ms']),
      ...options.layout?.settings,
    }
    this.#cluster = new SimCluster(
      world,
      { ...(options.layout ?? defaultLayout), settings },
      options.overrides?.(),
    )
    new PromiseWatch(this.#cluster)
    this.#operator = new SimOperator(this.#cluster, random.fork())
    this.#faults = new Faults(this.#cluster, this.#operator, random.fork())
  }

  async run(): Promise<void> {
    const world = this.#world
    const { random } = world
    await this.#cluster.boot()
    if (!this.#cluster.allOpen()) throw new SimFailure('liveness', 'the cluster does not start')
    this.#beginClients()
    await this.#for(random.between(100, 900))
    const withinMs = random.between(1_000, 7_000)
    const plan = planFaults(random.fork(), 1 + random.below(4), withinMs, this.#options.faults ?? faultKinds)
    this.#faults.schedule(plan)
    const attention = random.fork()
    const attentive = random.pick([800, 3_000, 20_000])
    this.#operator.attend(() => attention.between(0.5, 1.5) * attentive)
    await this.#for(withinMs + random.between(200, 2_500))
    this.#faults.mendAll()
    world.trace.add('world', 'all faults are over')
    if (!(await this.#heal())) return
    for (const client of this.#clients) client.stop()
    await this.#until(
      () => this.#clients.every((client) => client.idle),
      HEAL_MS,
      () => {
        const busy = this.#clients.flatMap(({ busyWith }) => (busyWith === undefined ? [] : [busyWith]))
        return `clients wait for ever: ${busy.join('; ')}`
      },
    )
    await this.#readAll()
    await this.#compareCopies()
  }

  #beginClients(): void {
    const { random } = this.#world
    const contents = [-1, ...Array.from({ length: this.#cluster.layout.contents }, (_, i) => i)]
    const pauseMs = random.pick([90, 200, 500])
    for (let i = 0; i < 3; i++) {
      this.#clients.push(
        new SimClient({
          name: `client${i}`,
          world: this.#world,
          cluster: this.#cluster,
          history: this.#history,
          random: random.fork(),
          contents,
          pauseMs,
        }),
      )
    }
  }

  async #for(ms: number): Promise<void> {
    const until = this.#world.nowMs + ms
    await this.#world.run(() => false, until, MAX_STEPS)
  }

  async #until(done: () => boolean, ms: number, sentence: () => string): Promise<void> {
    await this.#world.run(done, this.#world.nowMs + ms, MAX_STEPS)
    if (!done()) throw new SimFailure('liveness', `${sentence()} (${ms} ms after the faults)`)
  }

  /** The administrator comes until everything is up and in sync. False when only a human can decide how to go on. */
  async #heal(): Promise<boolean> {
    const from = this.#world.nowMs
    let goodSince = this.#world.nowMs
    for (;;) {
      if (!this.#healthy()) goodSince = Number.POSITIVE_INFINITY
      else if (goodSince === Number.POSITIVE_INFINITY) goodSince = this.#world.nowMs
      if (this.#world.nowMs - goodSince >= STAYS_GOOD_MS) return true
      if (this.#world.nowMs - from > HEAL_MS) {
        const ailment = this.#ailment()
        if (ailment === NO_COORDINATOR && this.#operator.standbyIsStale) {
          this.undecided = true
          return false
        }
        throw new SimFailure('liveness', `not healthy again after ${HEAL_MS} ms: ${ailment}`)
      }
      if (goodSince === Number.POSITIVE_INFINITY) this.#operator.tend()
      await this.#for(750)
    }
  }

  #healthy(): boolean {
    return this.#ailment() === ''
  }

  #ailment(): string {
    const service = this.#cluster.coordinator()?.service
    if (service === undefined) return NO_COORDINATOR
    for (const row of service.topology.rows()) {
      if (row.content >= 0 && (row.status !== 'u' || row.mode !== 's'))
        return `dbid ${row.dbid} is ${row.role} ${row.mode} ${row.status}`
      const state = this.#cluster.running.get(row.dbid)?.instance.roleState
      if (state !== (row.role === 'p' ? 'primary' : 'mirror'))
        return `dbid ${row.dbid} is ${state ?? 'not running'}`
    }
    const closed = [...service.dispatcher.lanes.values()].find((lane) => !lane.isOpen)
    if (closed !== undefined) return `the lane of content ${closed.content} is closed`
    const inDoubt = service.dispatcher.registry.inDoubt()
    return inDoubt.length === 0 ? '' : `in doubt: ${inDoubt.join(', ')}`
  }

  async #readAll(): Promise<void> {
    const coordinator = this.#cluster.coordinator()
    if (coordinator === undefined) throw new SimFailure('liveness', 'the coordinator is gone at the end')
    const dispatcher = dispatcherOf(coordinator)
    const reads = new Map<string, readonly string[]>()
    for (const list of this.#history.lists()) {
      const start = this.#history.beginRead(list)
      const run = dispatcher.runOne(contentOf(list), item(`list ${list}`, false))
      const ids = idsIn((await this.#world.until(run.promise)).output)
      this.#history.endRead(start, ids, 'the last read')
      reads.set(list, ids)
    }
    this.#history.checkAtomic(reads, 'the last read')
  }

  /** What a mirror has is what its primary has. */
  async #compareCopies(): Promise<void> {
    const { running } = this.#cluster
    const topology = this.#cluster.coordinator()?.service?.topology
    await this.#for(200)
    for (const row of topology?.rows() ?? []) {
      const mirror = topology?.mirror(row.content)
      const primary = running.get(row.dbid)
      if (row.role !== 'p' || row.mode !== 's' || mirror === undefined || primary === undefined) continue
      const position = primary.engine.position
      if (position === undefined) continue
      const there = recoverWal(
        this.#cluster.host(mirror.hostname).files,
        [receivedWalDir(mirror.datadir), pgWalDir(mirror.datadir)],
        position.timeline,
        position.lsn,
        true,
      )
      const copy = new KvStore()
      for (const record of there.records) copy.apply(record)
      for (const [list, ids] of primary.engine.store.lists) {
        const copied = copy.lists.get(list) ?? []
        if (ids.join(' ') !== copied.join(' '))
          throw new SimFailure(
            'I1',
            `list ${list} has ${ids.length} ids at dbid ${row.dbid} and ${copied.length} at its mirror, dbid ${mirror.dbid}`,
          )
      }
    }
  }
}
