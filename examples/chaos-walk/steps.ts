/** The steps of a walk: each harms the cluster in one way and leaves it so; what is needed to mend it is known to `mend`. */
import type { Cluster, RunningInstance } from 'mirabelle'
import type { SeededRandom } from './random.ts'

export interface Harm {
  readonly what: string
  /** How long it lasts before the mending begins, ms. */
  readonly lastsMs: number
  /** Undoes what nobody else undoes: a stopped process goes on. */
  readonly release?: () => void
}

/** Long enough for FTS to take over and for clients to notice. */
const KILLED_MS = 2_000

type Step = (cluster: Cluster, random: SeededRandom) => Promise<Harm>

const steps: readonly Step[] = [
  async (cluster, random) => kill(cluster, [await oneOf(cluster, random, 'p')], 'a primary'),
  async (cluster, random) => kill(cluster, [await oneOf(cluster, random, 'm')], 'a mirror'),
  async (cluster, random) => suspend(cluster, random, 'p', 'a primary'),
  async (cluster, random) => suspend(cluster, random, 'm', 'a mirror'),
  async (cluster, random) => {
    const { content } = await oneOf(cluster, random, 'p')
    const pair = (await cluster.instances()).filter((one) => one.content === content)
    return kill(cluster, pair, `both instances of content ${content}`)
  },
  async (cluster) => {
    const { dbid } = cluster.coordinator
    return kill(
      cluster,
      (await cluster.instances()).filter((one) => one.dbid === dbid),
      'the coordinator',
    )
  },
]

/** The next step, drawn from `random`. */
export function harm(cluster: Cluster, random: SeededRandom): Promise<Harm> {
  return random.pick(steps)(cluster, random)
}

/** Brings back whatever is down; resolves when all pairs are in sync. Rejects when that does not come within `limitMs`. */
export async function mend(cluster: Cluster, limitMs: number): Promise<void> {
  const giveUpAt = performance.now() + limitMs
  for (;;) {
    // Starts what is dead but marked up (the coordinator, both of a pair); recover brings back what is marked down.
    await cluster.start()
    await cluster.recover()
    const { instances } = await cluster.state()
    const bad = instances.filter(
      ({ content, mode, status }) => status !== 'u' || (content >= 0 && mode !== 's'),
    )
    if (bad.length === 0) return
    if (performance.now() > giveUpAt) {
      const names = bad.map(({ dbid, mode, status }) => `dbid ${dbid} is ${mode}/${status}`).join(', ')
      throw new Error(`not well again after ${limitMs / 1000} s: ${names}`)
    }
  }
}

/** A segment instance that runs and has this role now. */
async function oneOf(cluster: Cluster, random: SeededRandom, role: 'p' | 'm'): Promise<RunningInstance> {
  const { instances } = await cluster.state()
  const dbids = new Set(
    instances.filter((one) => one.content >= 0 && one.role === role).map(({ dbid }) => dbid),
  )
  return random.pick((await cluster.instances()).filter(({ dbid, pid }) => dbids.has(dbid) && pid !== null))
}

async function kill(cluster: Cluster, targets: readonly RunningInstance[], name: string): Promise<Harm> {
  for (const { dbid } of targets) await cluster.kill(dbid)
  return { what: `kill -9 of ${name} (${targets.map(nameOf).join('; ')})`, lastsMs: KILLED_MS }
}

/** Sometimes shorter than the limits after which FTS gives up on a process, sometimes longer. */
async function suspend(cluster: Cluster, random: SeededRandom, role: 'p' | 'm', name: string): Promise<Harm> {
  const target = await oneOf(cluster, random, role)
  const lastsMs = random.pick([1_000, 7_000])
  const pid = await cluster.kill(target.dbid, 'SIGSTOP')
  return {
    what: `SIGSTOP of ${name} (${nameOf(target)}), SIGCONT after ${lastsMs / 1000} s`,
    lastsMs,
    release: () => {
      try {
        process.kill(pid, 'SIGCONT')
      } catch (error) {
        // It was fenced meanwhile, as it should be.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    },
  }
}

const nameOf = ({ dbid, content }: RunningInstance): string => `dbid ${dbid}, content ${content}`
