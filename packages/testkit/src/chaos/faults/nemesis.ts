/**
 * Does faults in rounds: after a rest one to three of them, one soon after the other; after a while what is stopped goes on; then the cluster is healed, mostly. The seed
 * decides which faults hit whom; when exactly a process dies is up to the machine. Started by the run; ends when its time is over, with the cluster healed.
 */
import { pause } from '../../cluster/wait-for.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { History } from '../history/history.ts'
import type { ClusterView } from './cluster-view.ts'
import { NoFailover, type Struck } from './fault.ts'
import { drawFault, faults, type FaultName } from './fault-catalog.ts'
import { heal } from './heal.ts'

export interface NemesisOptions {
  readonly view: ClusterView
  readonly history: History
  readonly random: SimRandom
  readonly faults: readonly FaultName[]
  /** ms since the beginning of the run. */
  readonly now: () => number
  /** No round begins after this, ms since the beginning of the run. */
  readonly untilMs: number
  /** At most so many rounds. */
  readonly mostRounds: number
  /** Resolves when clients got on since it was called; rejects when they do not. A cluster that is well must serve. */
  readonly progress: () => Promise<void>
  readonly healMs: number
  /** How the rounds are paced. */
  readonly pace: { readonly restMs: readonly [number, number]; readonly holdMs: readonly [number, number] }
  readonly stopped: () => boolean
  readonly tell: (line: string) => void
}

/** A round is begun without healing the one before: the next faults hit a cluster that is down in part. */
const UNHEALED = 0.2
/** What one instance is lost by is not ended, and no command is given, before clients have got on. */
const UNATTENDED = 0.6
/** Several times the time in which FTS decides. */
const SURVIVED_MS = 60_000
const COMMAND_LIMIT_MS = 150_000

export async function runNemesis(options: NemesisOptions): Promise<void> {
  const { random, pace, now, untilMs, mostRounds, progress, stopped } = options
  await progress()
  let isWell = true
  for (let rounds = 0; rounds < mostRounds && now() < untilMs && !stopped(); rounds += 1) {
    await pause(random.between(...pace.restMs))
    const struck = await round(options)
    await pause(random.between(...pace.holdMs))
    if (isWell && random.chance(UNATTENDED)) await getOnUnattended(options, struck)
    for (const { release } of struck) await release?.()
    await finish(struck)
    for (const { verify } of struck) await verify?.()
    isWell = !random.chance(UNHEALED)
    if (isWell) await healAndTell(options)
    if (isWell) await progress()
  }
  if (isWell) return
  await healAndTell(options)
  await progress()
}

async function round(options: NemesisOptions): Promise<Struck[]> {
  const { random, view, faults: names } = options
  const count = random.pick([1, 1, 1, 2, 2, 3])
  const all: Struck[] = []
  for (let i = 0; i < count; i += 1) {
    if (i > 0) await pause(random.between(0, 2_000))
    const name = drawFault(names, random)
    enter(options, 'invoke', name, null)
    const struck = await faults[name].strike({ view, random: random.fork() })
    enter(options, 'info', name, struck?.what ?? 'nothing to do it to', struck?.contents)
    if (struck === undefined) continue
    all.push(struck)
    struck.running?.then((result) => enter(options, 'info', `${name}-ended`, result)).catch(() => undefined)
  }
  return all
}

/** Of what alone has hit a cluster that was well its clients recover without anybody's help. */
async function getOnUnattended(options: NemesisOptions, struck: readonly Struck[]): Promise<void> {
  const [only, ...others] = struck
  if (only?.isSurvived !== true || others.length > 0) return
  try {
    await options.progress()
  } catch (error) {
    throw new NoFailover(`nobody took over: ${only.what}: ${(error as Error).message}`, { cause: error })
  }
  await only.survived?.(SURVIVED_MS)
  enter(options, 'info', 'unattended', 'clients have got on')
}

/** Waits for the commands that were given. Each has limits of its own; this one is for those that keep none. */
async function finish(struck: readonly Struck[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new Error(
          `a command has not ended within ${COMMAND_LIMIT_MS} ms: ${struck.map(({ what }) => what).join('; ')}`,
        ),
      )
    }, COMMAND_LIMIT_MS)
  })
  try {
    await Promise.race([Promise.all(struck.flatMap(({ running }) => running ?? [])), late])
  } finally {
    clearTimeout(timer)
  }
}

async function healAndTell(options: NemesisOptions): Promise<void> {
  enter(options, 'invoke', 'heal', null)
  enter(options, 'info', 'heal', await heal(options.view, options.healMs, options.stopped))
}

function enter(
  { history, tell, now }: NemesisOptions,
  type: 'invoke' | 'info',
  f: string,
  value: string | null,
  contents?: readonly number[],
): void {
  const hit = contents === undefined ? {} : { contents }
  history.add({ process: 'nemesis', workload: 'nemesis', type, f, value, ...hit })
  if (type === 'info') tell(`${(now() / 1000).toFixed(1).padStart(7)} s  ${f}: ${value ?? ''}`)
}
