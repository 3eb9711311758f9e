/** Runs many seeds one after the other and sums up; tells the story of one that failed. */
import { setFlagsFromString } from 'node:v8'
import { shrinkFailure } from './shrink.ts'
import {
  DEFAULT_QUIET_MINUTES,
  simulate,
  type SimulationOptions,
  type SimulationResult,
} from './simulation.ts'

type Failure = NonNullable<SimulationResult['failure']>

export interface RunSeedsOptions {
  readonly first: number
  readonly count: number
  /** Real time after which no new seed is begun, ms. */
  readonly forMs?: number
  /** Ends after so many failures. Default 5. */
  readonly maxFailures?: number
  /** Ends at a failure that satisfies. */
  readonly until?: (failure: Failure) => boolean
  readonly simulation?: Omit<SimulationOptions, 'seed'>
  readonly onProgress?: (line: string) => void
  /** Gets the whole story of each seed. */
  readonly onStory?: (lines: readonly string[]) => void
}

export interface SeedsResult {
  readonly seeds: number
  /** Runs that ended where only a human may go on. */
  readonly undecided: number
  readonly failures: readonly SimulationResult[]
  readonly realMs: number
  /** Time of processors that it took: what counts on a machine that others use too. */
  readonly cpuMs: number
  readonly simulatedMs: number
  /** How much of it was quiet. */
  readonly quietMs: number
  readonly faults: number
  readonly events: number
  readonly counts: SimulationResult['counts']
  readonly summary: string
}

const PROGRESS_EVERY = 100
/** V8 inlines less: what it would gain in a run of some minutes is less than the time that it compiles longer. */
const FLAGS = ['--max-inlined-bytecode-size=100', '--max-inlined-bytecode-size-cumulative=100']
const HOUR_MS = 3_600_000

export async function runSeeds(options: RunSeedsOptions): Promise<SeedsResult> {
  for (const flag of FLAGS) setFlagsFromString(flag)
  const begunAt = performance.now()
  const cpuAt = process.cpuUsage()
  const failures: SimulationResult[] = []
  const counts = { acknowledged: 0, refused: 0, unknown: 0, reads: 0 }
  let simulatedMs = 0
  let quietMs = 0
  let faults = 0
  let seeds = 0
  let undecided = 0
  let steps = 0
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage(cpuAt)
    return (user + system) / 1000
  }
  const sum = (): string => {
    const realMs = performance.now() - begunAt
    const cpuMinutes = cpuMs() / 60_000
    const hours = simulatedMs / HOUR_MS
    return (
      `${seeds} seeds, ${failures.length} failed, ${undecided} left to a human, ${((seeds / realMs) * 1000).toFixed(1)} seeds/s; ` +
      `${hours.toFixed(1)} simulated hours, ${((100 * quietMs) / simulatedMs).toFixed(0)} % of them quiet; ` +
      `per minute of CPU: ${(hours / cpuMinutes).toFixed(1)} simulated hours, ${(seeds / cpuMinutes).toFixed(0)} seeds, ` +
      `${(faults / cpuMinutes).toFixed(0)} faults, ${(steps / cpuMinutes / 1e6).toFixed(2)} million events; ` +
      `${counts.acknowledged} writes acknowledged, ${counts.refused} refused, ${counts.unknown} unknown, ${counts.reads} reads`
    )
  }
  for (let seed = options.first; seeds < options.count; seed++) {
    if (performance.now() - begunAt > (options.forMs ?? Number.POSITIVE_INFINITY)) break
    const trace = options.onStory !== undefined
    const result = await simulate({ ...options.simulation, seed, trace })
    seeds++
    if (result.undecided) undecided++
    steps += result.steps
    simulatedMs += result.simulatedMs
    quietMs += result.quietMs
    faults += result.faults
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += result.counts[name]
    options.onStory?.(result.story)
    if (result.failure !== undefined) {
      failures.push(result)
      options.onProgress?.(`seed ${seed}: ${result.failure.message}`)
      if (failures.length >= (options.maxFailures ?? 5) || options.until?.(result.failure) === true) break
    }
    if (seeds % PROGRESS_EVERY === 0) options.onProgress?.(sum())
  }
  return {
    seeds,
    undecided,
    failures,
    realMs: performance.now() - begunAt,
    cpuMs: cpuMs(),
    simulatedMs,
    quietMs,
    faults,
    events: steps,
    counts,
    summary: sum(),
  }
}

/** Lines at the end of a story that are always told. */
const LAST_LINES = 25
const MAX_LINES = 80

/**
 * Makes a failed seed short and runs it again with its story, of which a reader gets what is needed: the faults, the turns of events, the end. `shrinks`: false tells
 * the seed as it is.
 */
export async function tellFailure(
  failed: SimulationResult,
  simulation: Omit<SimulationOptions, 'seed'> = {},
  shrinks = true,
): Promise<string> {
  const { seed, plan } = failed
  const shrunk = shrinks ? await shrinkFailure(failed, simulation) : undefined
  const replay = shrunk?.replay ?? { seed, quietMinutes: simulation.quietMinutes ?? DEFAULT_QUIET_MINUTES }
  const again = await simulate({ ...simulation, ...replay, trace: true })
  const lines = again.story
  const told = lines.filter(
    (line, i) =>
      i >= lines.length - LAST_LINES ||
      /^ *\S+ (fault|world|network|cli|FAILURE|\S*dw\S*) |is paused|is resumed| ends \(|promoted|lane open|accepts clients|FTS: update|epoch promised/.test(
        line,
      ),
  )
  const short = told.length > MAX_LINES ? ['           …', ...told.slice(-MAX_LINES)] : told
  return [
    `seed ${seed} fails at event ${failed.steps}, ${(failed.simulatedMs / 1000).toFixed(3)} s: ${failed.failure?.message ?? ''}`,
    ...(shrunk === undefined
      ? []
      : [
          `  shrunk in ${shrunk.runs} runs from ${plan.faults.length} faults and ${failed.steps} events to ${again.plan.faults.length} and ${again.steps}: ${again.failure?.message ?? 'it does not fail any more'}`,
        ]),
    ...short.map((line) => `  ${line.slice(0, 240)}`),
    `  as it was: npm run simulate -- --seeds 1 --seed ${seed} --quiet ${simulation.quietMinutes ?? DEFAULT_QUIET_MINUTES} --trace`,
    ...(shrunk === undefined
      ? []
      : [`  as told: npm run simulate -- --trace --replay '${JSON.stringify(replay)}'`]),
  ].join('\n')
}
