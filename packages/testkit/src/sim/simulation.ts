/**
 * One run of one seed: a cluster, clients, a burst of faults, an administrator, a cluster that must be whole again, a long quiet stretch in which nothing may
 * go wrong, and at the end a history that must be possible.
 */
import { AgentWatch } from './agent-watch.ts'
import { BaseWatch } from './base-watch.ts'
import { DtxWatch } from './dtx-watch.ts'
import { planFaults, type FaultKind, type FaultPlan } from './fault-plan.ts'
import { Faults } from './faults.ts'
import { ailmentOf, compareCopies, NO_COORDINATOR, readAll, topologyText } from './final-checks.ts'
import { HistoryChecker } from './history-checker.ts'
import { HostLoss } from './host-loss.ts'
import { SimOperator } from './operator.ts'
import { PromiseWatch } from './promise-watch.ts'
import { SimClient } from './sim-client.ts'
import { SettledWatch } from './settled-watch.ts'
import { SimCluster, type SimOverrides } from './sim-cluster.ts'
import { drawLayout, type SimLayout } from './sim-layout.ts'
import { SimRandom } from './sim-random.ts'
import { SimFailure, SimWorld } from './sim-world.ts'
import { ValueHistory } from './value-history.ts'

/** After the last fault the cluster must be whole within this simulated time. */
const HEAL_MS = 90_000
const MAX_STEPS = 100_000
/** More than any run needs in a second of simulated time, for the limit of long stretches. */
const STEPS_PER_S = 500
/** The cluster counts as whole when it has been so for this time: what a disk had held up when its fault ended has come through by then. */
const STAYS_GOOD_MS = 12_000
/** Clients go on as in the burst until it has been whole for this time. */
const CALM_AFTER_MS = 1_000
/** How often a host is lost while nobody looks, once the faults are over. */
const HOST_LOSSES = 0.3
/** Without that host every content answers again within this time: silence is noticed, a mirror's grace period ends, a promotion comes to its end. */
const ANSWERS_AGAIN_MS = 20_000
const HOST_LOSS_SEED = 0x10550
/** What is under way at the end of a quiet stretch has ended after this time. */
const IN_FLIGHT_MS = 1_000
/** What is asked in a quiet stretch is answered within this time. */
const SOON_MS = 5_000
/** The shortest quiet stretch. */
const LEAST_QUIET_MS = 1_000
/** Mean pause of a client between two statements in a quiet stretch, ms. */
const QUIET_PAUSES_MS = [20_000, 60_000] as const
export const DEFAULT_QUIET_MINUTES = 60
const MOST_FAULTS = 6
/** From so long before to so long after a fault clients pause only so long, ms. */
const HURRY_BEFORE_MS = 10
const HURRY_AFTER_MS = 5
const HURRY_PAUSE_MS = 1
/** More of them do the same work, but more at once when they hurry. */
const CLIENTS = [3, 3, 3, 7] as const
const NO_FAULTS: FaultPlan = { focus: undefined, faults: [] }

export interface SimulationOptions {
  readonly seed: number
  readonly trace?: boolean
  /** Instead of the one that the seed draws. */
  readonly layout?: SimLayout
  /**
   * The longest quiet stretch, minutes of simulated time: each seed draws how much of it is taken. Default 60. The story up to that stretch does not depend on
   * it.
   */
  readonly quietMinutes?: number
  /** These faults instead of those that the seed draws. */
  readonly plan?: FaultPlan
  /** How many clients. Default 3, in some seeds 7. */
  readonly clients?: number
  /** Only faults of these kinds are drawn. */
  readonly faults?: readonly FaultKind[]
  /** Something is broken on purpose; made anew for each run. */
  readonly overrides?: () => SimOverrides
}

export interface SimulationResult {
  readonly seed: number
  readonly simulatedMs: number
  /** How much of it was the quiet stretch. */
  readonly quietMs: number
  readonly plan: FaultPlan
  /** Faults that began. */
  readonly faults: number
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
  let simulation: Simulation | undefined
  // Most errors of a run are faults that were planned; where they were made is told when the seed is run again with its story.
  const { stackTraceLimit } = Error
  if (options.trace !== true) Error.stackTraceLimit = 0
  try {
    simulation = new Simulation(world, history, options)
    await simulation.run()
  } catch (error) {
    failure = error instanceof SimFailure ? error : new SimFailure('uncaught', String(error), error)
  }
  // Node tells of rejections once the queue of ticks is empty.
  await new Promise((resolve) => setImmediate(resolve))
  process.off('unhandledRejection', onRejection)
  Error.stackTraceLimit = stackTraceLimit
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
    quietMs: simulation?.quietMs ?? 0,
    plan: simulation?.plan ?? NO_FAULTS,
    faults: simulation?.faultsBegun ?? 0,
    steps: world.steps,
    failure,
    undecided: simulation?.undecided ?? false,
    story: world.trace.lines,
    counts: history.counts,
  }
}

class Simulation {
  readonly #world: SimWorld
  readonly #history: HistoryChecker
  readonly #values: ValueHistory
  readonly #cluster: SimCluster
  readonly #watch: PromiseWatch
  readonly #dtx: DtxWatch
  readonly #faults: Faults
  readonly #operator: SimOperator
  readonly #options: SimulationOptions
  #clients: SimClient[] = []
  #burstPauseMs = 0
  /** So many clients do what one of three does. */
  #share = 1
  #quietPauseMs: number = QUIET_PAUSES_MS[0]
  undecided = false
  quietMs = 0
  plan: FaultPlan = NO_FAULTS

  constructor(world: SimWorld, history: HistoryChecker, options: SimulationOptions) {
    this.#world = world
    this.#history = history
    this.#values = new ValueHistory(() => world.nowMs)
    this.#options = options
    const random = world.random
    const layout = options.layout ?? drawLayout(random)
    const settings: Record<string, string> = {
      gp_fts_probe_interval: random.pick(['1000ms', '5000ms']),
      // Statements give up before a failover has come to its end, or wait for it.
      failover_timeout: random.pick(['300ms', '30s', '30s', '30s']),
      // Mirrors make new bases all the time, now and then, or never.
      mirror_base_refresh_size: random.pick(['2kB', '12kB', '64kB', '1GB']),
      ...layout.settings,
    }
    this.#cluster = new SimCluster(world, { ...layout, settings }, options.overrides?.())
    this.#watch = new PromiseWatch(this.#cluster)
    new SettledWatch(this.#cluster).watch()
    new AgentWatch(this.#cluster).watch()
    new BaseWatch(this.#cluster).watch()
    this.#dtx = new DtxWatch(this.#cluster)
    this.#operator = new SimOperator(this.#cluster, random.fork())
    this.#faults = new Faults(this.#cluster, this.#operator, () => this.#hurryAt(0))
  }

  get faultsBegun(): number {
    return this.#faults.begun
  }

  async run(): Promise<void> {
    const world = this.#world
    const { random } = world
    await this.#cluster.boot()
    if (!this.#cluster.allOpen()) throw new SimFailure('liveness', 'the cluster does not start')
    this.#beginClients()
    const quiet = random.fork()
    this.#quietPauseMs = quiet.pick(QUIET_PAUSES_MS)
    await this.#for(random.between(100, 900))
    const withinMs = random.between(1_000, 7_000)
    const { faults: kinds } = this.#options
    const drawn = planFaults(random.fork(), {
      count: 1 + random.below(MOST_FAULTS),
      withinMs,
      contents: this.#contents,
      ...(kinds === undefined ? {} : { kinds }),
    })
    this.plan = this.#options.plan ?? drawn
    this.#faults.schedule(this.plan)
    for (const { atMs } of this.plan.faults) this.#hurryAt(atMs)
    const attention = random.fork()
    const attentive = random.pick([800, 3_000, 20_000])
    this.#operator.attend(() => attention.between(0.5, 1.5) * attentive)
    await this.#for(withinMs + random.between(200, 2_500))
    this.#faults.mendAll()
    world.trace.add('world', 'all faults are over')
    if (!(await this.#heal())) return
    if (!(await this.#loseHost())) return
    await this.#quiet(quiet)
    for (const client of this.#clients) client.stop()
    await this.#until(
      () => this.#clients.every((client) => client.idle),
      HEAL_MS,
      () => {
        const busy = this.#clients.flatMap(({ busyWith }) => (busyWith === undefined ? [] : [busyWith]))
        return `clients wait for ever: ${busy.join('; ')}`
      },
    )
    await readAll(this.#cluster, this.#history, this.#values)
    await this.#for(200)
    compareCopies(this.#cluster)
    this.#dtx.leftNothing()
  }

  get #contents(): readonly number[] {
    return [-1, ...Array.from({ length: this.#cluster.layout.contents }, (_, i) => i)]
  }

  #beginClients(): void {
    const { random } = this.#world
    const pauseMs = random.pick([120, 300, 1_000])
    const drawn = random.pick(CLIENTS)
    const count = this.#options.clients ?? drawn
    this.#share = drawn / CLIENTS[0]
    for (let i = 0; i < count; i++) {
      this.#clients.push(
        new SimClient({
          name: `client${i}`,
          world: this.#world,
          cluster: this.#cluster,
          history: this.#history,
          values: this.#values,
          random: random.fork(),
          contents: this.#contents,
          pauseMs: pauseMs * this.#share,
          onOwnAnswer: (coordinator, lsn) => this.#watch.onOwnAnswer(coordinator, lsn),
        }),
      )
    }
    this.#burstPauseMs = pauseMs * this.#share
  }

  /** Around this time much is under way. */
  #hurryAt(atMs: number): void {
    const pace = (inMs: number, pauseMs: number): void => {
      this.#world.schedule(inMs, undefined, () => {
        for (const client of this.#clients) client.pace(pauseMs)
      })
    }
    pace(atMs - HURRY_BEFORE_MS, HURRY_PAUSE_MS)
    pace(atMs + HURRY_AFTER_MS, this.#burstPauseMs)
  }

  async #for(ms: number): Promise<void> {
    const until = this.#world.nowMs + ms
    await this.#world.run(() => false, until, MAX_STEPS + (ms / 1_000) * STEPS_PER_S)
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
      if (ailmentOf(this.#cluster) !== '') goodSince = Number.POSITIVE_INFINITY
      else if (goodSince === Number.POSITIVE_INFINITY) goodSince = this.#world.nowMs
      const goodForMs = this.#world.nowMs - goodSince
      if (goodForMs >= STAYS_GOOD_MS) return true
      if (goodForMs >= CALM_AFTER_MS) this.#slowDown()
      if (goodForMs < 0 && this.#world.nowMs - from > HEAL_MS) {
        const ailment = ailmentOf(this.#cluster)
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

  /** Now and then a host is lost and nobody comes. False when only a human can decide how to go on. */
  async #loseHost(): Promise<boolean> {
    // Drawn beside everything else.
    const random = new SimRandom(this.#options.seed ^ HOST_LOSS_SEED)
    if (!random.chance(HOST_LOSSES)) return true
    this.#operator.rest()
    for (const client of this.#clients) client.pace(this.#burstPauseMs)
    const loss = new HostLoss(this.#cluster, random)
    await this.#until(
      () => loss.silent.length === 0,
      ANSWERS_AGAIN_MS,
      () => `content ${loss.silent.join(' and ')} does not answer although only one host is lost`,
    )
    loss.end()
    return this.#heal()
  }

  /** The burst is over: little is asked of the cluster from now on. */
  #slowDown(): void {
    for (const client of this.#clients) client.pace(this.#quietPauseMs * this.#share)
  }

  /**
   * A long time of little work and no faults, without an administrator: the timers of all actors run as ever, and nothing may happen. Short stretches are as
   * likely as long ones, by the length's order of magnitude.
   */
  async #quiet(random: SimRandom): Promise<void> {
    const longestMs = Math.max(LEAST_QUIET_MS, (this.#options.quietMinutes ?? DEFAULT_QUIET_MINUTES) * 60_000)
    const ms = LEAST_QUIET_MS * (longestMs / LEAST_QUIET_MS) ** random.next()
    this.#world.trace.add('world', `quiet for ${(ms / 1_000).toFixed(0)} s`)
    this.#operator.rest()
    for (const client of this.#clients) client.expect(SOON_MS)
    const before = topologyText(this.#cluster)
    await this.#for(ms)
    this.quietMs = ms
    const after = topologyText(this.#cluster)
    await this.#until(
      () => ailmentOf(this.#cluster) === '',
      IN_FLIGHT_MS,
      () => `after ${ms.toFixed(0)} quiet ms: ${ailmentOf(this.#cluster)}`,
    )
    if (after !== before)
      throw new SimFailure('quiet', `the catalog has changed in a quiet stretch, from ${before} to ${after}`)
  }
}
