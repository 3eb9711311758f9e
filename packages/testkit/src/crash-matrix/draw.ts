/** Who is killed, and when: drawn from the seed, at a fault point or after a time. */
import type { FaultPoint } from '@mirabelle/messages'
import type { SimRandom } from '../sim/sim-random.ts'

/** The process that is killed: the command, the agent of a host, the coordinator, the instance that is copied from, or the one that is worked on. */
export const victims = ['cli', 'agent', 'coordinator', 'source', 'target'] as const
export type Victim = (typeof victims)[number]

/** The fault points that a command passes, by the process that passes them. */
export type PointsOf = { readonly [V in Victim]?: readonly FaultPoint[] }

export type Kill =
  | { readonly victim: Victim; readonly at: FaultPoint; readonly occurrence: number }
  | { readonly victim: Victim; readonly afterShare: number }

/** Points that many instances pass more than once, and how often. */
const OFTEN: Partial<Record<FaultPoint, number>> = {
  'copy.file': 60,
  'send.copy.bytes': 40,
  'receive.copy.read': 40,
  'receive.copy.hashes': 30,
  'receive.copy.readFiles': 10,
  'receive.copy.hashFiles': 10,
  'fsync.replace.before': 4,
  'fsync.replace.written': 4,
  'fsync.replace.renamed': 4,
  'catalog.change.before': 2,
  'catalog.change.after': 2,
  'agent.remember': 2,
}
/** Of three kills two are at fault points. */
const TIMED_EVERY = 3

/** `count` kills: every point once before any comes twice. */
export function drawKills(points: PointsOf, count: number, random: SimRandom): Kill[] {
  const there = victims.filter((victim) => (points[victim] ?? []).length > 0)
  let bag: { victim: Victim; at: FaultPoint }[] = []
  const kills: Kill[] = []
  while (kills.length < count) {
    if (kills.length % TIMED_EVERY === TIMED_EVERY - 1) {
      kills.push({ victim: random.pick(there), afterShare: random.next() })
      continue
    }
    if (bag.length === 0)
      bag = there.flatMap((victim) => (points[victim] ?? []).map((at) => ({ victim, at })))
    const [one] = bag.splice(random.below(bag.length), 1)
    if (one !== undefined) kills.push({ ...one, occurrence: 1 + random.below(OFTEN[one.at] ?? 1) })
  }
  return kills
}

export function describeKill(kill: Kill): string {
  return 'at' in kill
    ? `${kill.victim} at ${kill.at}${kill.occurrence === 1 ? '' : `, the ${kill.occurrence}th time`}`
    : `${kill.victim} after ${Math.round(kill.afterShare * 100)} % of its usual time`
}
