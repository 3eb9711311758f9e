/**
 * Makes the story of a failing seed short: leaves out faults one at a time, shortens what is left, takes clients and quiet time away, and keeps what still breaks the
 * same promise. What is left is a seed and a plan, which replay exactly.
 */
import type { FaultPlan, PlannedFault } from './fault-plan.ts'
import { simulate, type SimulationOptions, type SimulationResult } from './simulation.ts'

/** With something left out everything after it happens otherwise: another seed may break the promise where this one does not any more. */
const OTHER_SEEDS = [1_000_003, 2_000_003, 3_000_017]
const DEFAULT_RUNS = 80
const SHORTEST_QUIET_MINUTES = 0.02
const SHORTEST_FAULT_MS = 20

/** What replays a shrunk failure. */
export type Replay = Pick<SimulationOptions, 'seed' | 'plan' | 'clients' | 'quietMinutes'>

export interface Shrunk {
  readonly replay: Replay
  readonly result: SimulationResult
  /** How many runs it took. */
  readonly runs: number
}

/** Never longer than what came in. `simulation`: what was given beside the seed. */
export async function shrinkFailure(
  failed: SimulationResult,
  simulation: Omit<SimulationOptions, 'seed'> = {},
  mostRuns = DEFAULT_RUNS,
): Promise<Shrunk> {
  const shrinking = new Shrinking(failed, simulation, mostRuns)
  await shrinking.run()
  return { replay: shrinking.best, result: shrinking.result, runs: shrinking.runs }
}

class Shrinking {
  best: Replay
  result: SimulationResult
  runs = 0
  readonly #simulation: Omit<SimulationOptions, 'seed'>
  readonly #promise: string | undefined
  readonly #mostRuns: number

  constructor(failed: SimulationResult, simulation: Omit<SimulationOptions, 'seed'>, mostRuns: number) {
    const { quietMinutes, clients } = simulation
    this.best = {
      seed: failed.seed,
      plan: failed.plan,
      ...(quietMinutes === undefined ? {} : { quietMinutes }),
      ...(clients === undefined ? {} : { clients }),
    }
    this.result = failed
    this.#simulation = simulation
    this.#promise = failed.failure?.promise
    this.#mostRuns = mostRuns
  }

  async run(): Promise<void> {
    await this.#try({ ...this.best, quietMinutes: SHORTEST_QUIET_MINUTES })
    await this.#dropFaults()
    for (const clients of [1, 2]) if (await this.#try({ ...this.best, clients })) break
    await this.#shortenFaults()
  }

  get #plan(): FaultPlan {
    return this.best.plan ?? this.result.plan
  }

  /** From the last fault to the first, again and again until each one is needed. */
  async #dropFaults(): Promise<void> {
    for (let dropped = true; dropped;) {
      dropped = false
      for (let i = this.#plan.faults.length - 1; i >= 0; i--)
        dropped = (await this.#tryFaults(this.#plan.faults.filter((_, k) => k !== i))) || dropped
    }
  }

  async #shortenFaults(): Promise<void> {
    for (let i = 0; i < this.#plan.faults.length; i++) {
      const change = (how: (fault: PlannedFault) => Partial<PlannedFault>): Promise<boolean> =>
        this.#tryFaults(this.#plan.faults.map((fault, k) => (k === i ? { ...fault, ...how(fault) } : fault)))
      while ((this.#plan.faults[i]?.forMs ?? 0) > SHORTEST_FAULT_MS) {
        if (!(await change(({ forMs }) => ({ forMs: Math.max(SHORTEST_FAULT_MS, forMs / 2) })))) break
      }
    }
  }

  #tryFaults(faults: readonly PlannedFault[]): Promise<boolean> {
    return this.#try({ ...this.best, plan: { ...this.#plan, faults } })
  }

  /** Takes it for the best when it fails in the same way. */
  async #try(replay: Replay): Promise<boolean> {
    for (const more of [0, ...OTHER_SEEDS]) {
      if (this.runs >= this.#mostRuns) return false
      this.runs++
      const tried = { ...replay, seed: this.result.seed + more }
      const result = await simulate({ ...this.#simulation, ...tried })
      if (result.failure?.promise !== this.#promise) continue
      this.best = tried
      this.result = result
      return true
    }
    return false
  }
}
